"""What is raced, and who takes part. A peer or a shape is added in rows.py or layers.py, and nowhere else."""
