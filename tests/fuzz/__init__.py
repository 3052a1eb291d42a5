"""A fuzz campaign over every public function: `python -m tests.fuzz --calls 20000 --seed 1`.

arrays: hostile values and layouts between guard bytes; cases: one call and what is wrong with it; oracles: the results
in np.longdouble, with their tolerances; maps, losses (with targets), layers (with samples), others, classifiers,
jitted: what each function is called with; campaign: the judge.
"""
