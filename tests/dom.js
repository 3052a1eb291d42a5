// As much of a browser as the scripts of the page use: elements, selectors, events; no layout, no drawing.
"use strict";

const SIMPLE = /^([\w-]*)(?:\.([\w-]+))?(?:\[([\w-]+)\])?$/; // td, .source, [data-entry]

class Element {
  constructor(name, namespace = "xhtml") {
    Object.assign(this, { name, namespace, attributes: {}, childNodes: [], parentElement: null, listeners: {} });
    this.style = { setProperty: (key, value) => (this.style[key] = value) };
    this.dataset = new Proxy(this, {
      get: (made, key) => made.attributes[`data-${key}`],
      set: (made, key, value) => ((made.attributes[`data-${key}`] = String(value)), true),
    });
    const words = () => (this.attributes.class ?? "").split(" ").filter(Boolean);
    const set = (names) => (this.attributes.class = [...new Set(names)].join(" "));
    this.classList = {
      contains: (word) => words().includes(word),
      add: (...more) => set([...words(), ...more]),
      remove: (...less) => set(words().filter((word) => !less.includes(word))),
      toggle: (word, on) => this.classList[on ? "add" : "remove"](word),
    };
  }
  setAttribute(key, value) { this.attributes[key] = String(value); }
  getAttribute(key) { return this.attributes[key] ?? null; }
  removeAttribute(key) { delete this.attributes[key]; }
  get id() { return this.attributes.id; }
  get tabIndex() { return Number(this.attributes.tabindex); }
  set tabIndex(value) { this.setAttribute("tabindex", value); }
  get hidden() { return "hidden" in this.attributes; }
  set hidden(value) { value ? this.setAttribute("hidden", "") : this.removeAttribute("hidden"); }
  get value() { return this.attributes.value; }
  set value(value) { this.setAttribute("value", value); }
  set max(value) { this.setAttribute("max", value); }
  append(...nodes) {
    for (const node of nodes) {
      if (node instanceof Element) {
        if (node.parentElement) node.parentElement.childNodes.splice(node.parentElement.childNodes.indexOf(node), 1);
        node.parentElement = this;
      }
      this.childNodes.push(node instanceof Element ? node : String(node));
    }
  }
  replaceChildren(...nodes) {
    this.childNodes = [];
    this.append(...nodes);
  }
  get textContent() { return this.childNodes.map((node) => node.textContent ?? node).join(""); }
  set textContent(text) { this.replaceChildren(text); }
  get rows() { return this.querySelectorAll("tr"); }
  get below() { return this.childNodes.filter((n) => n instanceof Element).flatMap((node) => [node, ...node.below]); }
  matches(selectors) {
    return selectors.split(", ").some((selector) => {
      const [, name, word, attribute] = selector.match(SIMPLE);
      const fits = (!name || name === this.name) && (!word || this.classList.contains(word));
      return fits && (!attribute || attribute in this.attributes);
    });
  }
  querySelectorAll(selectors) { return this.below.filter((made) => made.matches(selectors)); }
  closest(selectors) { return this.matches(selectors) ? this : (this.parentElement?.closest(selectors) ?? null); }
  addEventListener(type, listener) { (this.listeners[type] ??= []).push(listener); }
  focus() {
    if (document.activeElement) send(document.activeElement, "focusout");
    document.activeElement = this;
    send(this, "focusin");
  }
  getBoundingClientRect() { return { left: 0, right: 10, top: 0, bottom: 10 }; }
  getContext() {
    return {
      createImageData: (width, height) => ({ width, height, data: new Uint8ClampedArray(4 * width * height) }),
      putImageData: (image) => (this.painted = image),
    };
  }
}

function send(target, type, properties = {}) {
  for (let made = target; made; made = made.parentElement) {
    for (const listener of made.listeners[type] ?? []) listener({ target, type, preventDefault() {}, ...properties });
  }
}

const document = new Element("#document");
document.getElementById = (id) => document.below.find((made) => made.id === id) ?? null;
document.createElement = (name) => new Element(name);
document.createElementNS = (namespace, name) => new Element(name, namespace);
document.documentElement = { clientWidth: 1280 };
const [scrollX, scrollY] = [0, 0];
const matchMedia = () => new Element("#media");
const getComputedStyle = () => ({ getPropertyValue: (name) => ({ "--positive": "#0000ff", "--negative": "#ff8000" })[name] ?? "#ffffff" });

// [name, attributes, children], as Python has them, to elements, and back
function grown([name, attributes, children]) {
  const made = new Element(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value ?? "");
  made.append(...children.map((child) => (typeof child === "string" ? child : grown(child))));
  return made;
}
const plain = ({ name, attributes, childNodes }) => [
  name, attributes, childNodes.map((child) => (child instanceof Element ? plain(child) : child)),
];
