// SPDX-License-Identifier: Apache-2.0
/**
 * The renderer: a description of elements, and as few changes of the document as make it so.
 *
 * It sets properties and attributes and makes text nodes; it never parses HTML, so no text becomes markup.
 */

/**
 * @typedef {{tag: string, props: Record<string, any>, children: Nodes[]}} Described
 * @typedef {Described | string | number | false | null | undefined} Node
 * @typedef {Node | Node[] | any[]} Nodes what is nested becomes flat
 */

const SVG = 'http://www.w3.org/2000/svg';
/** What was rendered into an element, with the nodes that stand for it. @type {WeakMap<ParentNode, Made[]>} */
const rendered = new WeakMap();
/** `at` is where among its siblings, or its key. @typedef {{node: Element | Text, at: string, described: Described | string}} Made */
/** Listeners by element and event. @type {WeakMap<Element, Map<string, EventListener>>} */
const listeners = new WeakMap();

/**
 * Describe an element. In `props`: `key` tells siblings apart, `on…` listens, `class` and what has a dash are
 * attributes, `ref` is called with the new element, and everything else is a property where the element has one.
 * @param {string} tag
 * @param {Record<string, any> | null} [props]
 * @param {...Nodes} children
 * @returns {Described}
 */
export function h(tag, props, ...children) {
  return {tag, props: props ?? {}, children};
}

/**
 * Make the children of `parent` what is described.
 * @param {ParentNode & globalThis.Node} parent
 * @param {...Nodes} content
 */
export function render(parent, ...content) {
  const before = new Map((rendered.get(parent) ?? []).map((made) => [made.at, made]));
  const after = flat(content).map(([at, described]) => {
    const match = before.get(at);
    if (!match || !isSame(match.described, described)) return make(at, described, parent);
    before.delete(at);
    update(match, described);
    return match;
  });
  for (const {node} of before.values()) node.remove();
  /** @type {ChildNode | null} */
  let at = parent.firstChild;
  for (const {node} of after) {
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
  }
  rendered.set(parent, after);
}

/**
 * Each with its key, or else its place: what comes and goes leaves the others in theirs.
 * @param {Nodes[]} content @param {string} [path] @returns {[string, Described | string][]}
 */
function flat(content, path = '') {
  return content.flatMap((each, at) => {
    if (each === null || each === undefined || each === false) return [];
    if (Array.isArray(each)) return flat(each, `${path}${at}.`);
    if (typeof each !== 'object') return [[path + at, String(each)]];
    return [[String(each.props.key ?? path + at), each]];
  });
}

/** @param {Described | string} one @param {Described | string} other */
function isSame(one, other) {
  if (typeof one === 'string' || typeof other === 'string') return typeof one === typeof other;
  return one.tag === other.tag;
}

/** @param {string} at @param {Described | string} described @param {globalThis.Node} parent @returns {Made} */
function make(at, described, parent) {
  if (typeof described === 'string') return {node: document.createTextNode(described), at, described};
  const inSvg = described.tag === 'svg' || (parent instanceof SVGElement && parent.tagName !== 'foreignObject');
  const node = inSvg ? document.createElementNS(SVG, described.tag) : document.createElement(described.tag);
  const made = {node, at, described: {...described, props: {}}};
  update(made, described);
  described.props.ref?.(node);
  return made;
}

/** @param {Made} made @param {Described | string} described */
function update(made, described) {
  const {node, described: old} = made;
  made.described = described;
  if (typeof described === 'string' || typeof old === 'string') {
    if (node.nodeValue !== described) node.nodeValue = String(described);
    return;
  }
  const element = /** @type {Element} */ (node);
  // Options come before the value of their select, which must name one of them.
  const owner = described.tag.includes('-');
  if (!owner) render(element, ...described.children);
  for (const name of Object.keys(old.props)) {
    if (!(name in described.props)) set(element, name, undefined);
  }
  for (const [name, value] of Object.entries(described.props)) {
    if (value !== old.props[name] || name === 'value' || name === 'checked') set(element, name, value);
  }
  if (owner) /** @type {any} */ (element).update?.();
}

/** @param {Element} element @param {string} name @param {any} value */
function set(element, name, value) {
  if (name === 'key' || name === 'ref') return;
  if (name.startsWith('on')) {
    listen(element, name.slice(2), value);
  } else if (name !== 'class' && name !== 'alt' && !name.includes('-') && name in element && !(element instanceof SVGElement)) {
    const target = /** @type {any} */ (element);
    if (target[name] !== value) target[name] = value ?? (typeof target[name] === 'boolean' ? false : '');
  } else if (value === undefined || value === null || value === false) {
    element.removeAttribute(name);
  } else {
    element.setAttribute(name, value === true ? '' : String(value));
  }
}

/** @param {Element} element @param {string} event @param {EventListener | undefined} listener */
function listen(element, event, listener) {
  const known = listeners.get(element) ?? new Map();
  listeners.set(element, known);
  if (known.has(event)) element.removeEventListener(event, known.get(event));
  if (listener) {
    element.addEventListener(event, listener);
    known.set(event, listener);
  } else known.delete(event);
}
