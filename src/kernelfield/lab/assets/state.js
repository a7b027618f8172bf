// The whole state of the lab as one plain object, in the address and in the history.

/** @import { Kind, State } from "../types" */

export const BOUNDARIES = ["reflect", "nearest", "mirror", "wrap", "constant"];

/** The state of a first visit: the textbook's edge. @type {Readonly<State>} */
export const FIRST = Object.freeze({
  view: "slide", image: "edge", rows: [[1, -1]], divisor: 1, anchor: [0, 0], flip: false, mode: "valid", border: "reflect", stride: 1, dilation: 1,
  at: null, zoom: 1, centre: null, layers: [[3, 1, 0, 1], [3, 1, 0, 1]], unit: null, size: null, how: "once", rate: null, tour: 0,
  data: null,
});

/** Returns a list of finite numbers, or null. @param {string} text */
function numbers(text) {
  const list = text.split(",").map(Number);
  return list.every(Number.isFinite) ? list : null;
}

/**
 * Rows of numbers as text: columns by commas, rows by semicolons.
 * @param {number} most
 * @returns {Kind<number[][]>}
 */
const table = (most) => ({
  write: (rows) => rows.map((row) => row.map((v) => Number(v.toPrecision(9))).join(",")).join(";"),
  read(text) {
    const rows = text.split(";").map(numbers).filter((row) => row !== null), [first] = rows;
    const regular = rows.length === text.split(";").length && rows.length <= most && first.length <= most;
    return regular && rows.every((row) => row.length === first.length) ? rows : null;
  },
});
/** @param {string[]} words @returns {Kind<string>} */
const choice = (...words) => ({ write: String, read: (text) => (words.includes(text) ? text : null) });
/** @returns {Kind<number[]>} */
const pair = (low = -1e6, high = 1e6, whole = true) => ({
  write: (value) => value.map((v) => Number(v.toFixed(3))).join(","),
  read(text) {
    const list = numbers(text);
    return list?.length === 2 && list.every((v) => v >= low && v <= high && (!whole || Number.isInteger(v))) ? list : null;
  },
});
/** @param {number} low @param {number} high @returns {Kind<number>} */
const number = (low, high, whole = true) => ({
  write: (value) => String(Number(value.toPrecision(6))),
  read: (text) => (text !== "" && +text >= low && +text <= high && (!whole || Number.isInteger(+text)) ? +text : null),
});

/**
 * How each part of the state is written in an address, by its key there.
 * @type {{[K in keyof State]: [string, Kind<NonNullable<State[K]>>]}}
 */
const KEYS = {
  view: ["view", choice("slide", "learn", "fields")],
  image: ["image", { write: String, read: (text) => (/^[a-z0-9-]{1,40}$/.test(text) ? text : null) }],
  rows: ["kernel", table(31)],
  divisor: ["divisor", number(1e-9, 1e9, false)],
  anchor: ["anchor", pair(0, 30)],
  flip: ["flip", { write: () => "1", read: (text) => (text === "1" ? true : null) }],
  mode: ["mode", choice("valid", "same", "full")],
  border: ["border", choice(...BOUNDARIES)],
  stride: ["stride", number(1, 15)],
  dilation: ["dilation", number(1, 15)],
  at: ["at", pair()],
  zoom: ["zoom", number(1, 512, false)],
  centre: ["centre", pair(-1e6, 1e6, false)],
  layers: ["layers", {
    write: table(12).write,
    read(text) {
      const rows = table(12).read(text);
      const good = rows?.every(([k, s, p, d, ...rest]) => !rest.length && [k, s, d].every((v) => Number.isInteger(v) && v >= 1 && v <= 31) && Number.isInteger(p) && p >= 0 && p <= 31);
      return good && rows ? rows : null;
    },
  }],
  unit: ["unit", pair(0)],
  size: ["size", pair(1, 15)],
  how: ["how", choice("once", "steps")],
  rate: ["rate", number(1e-12, 1e6, false)],
  tour: ["tour", number(0, 6)],
  data: ["data", table(32)],
};

const NAMES = /** @type {(keyof State)[]} */ (Object.keys(KEYS));

/** The middle of a kernel, rounded up: its anchor where none is given. @param {number[][]} rows */
const middle = (rows) => [rows.length >> 1, rows[0].length >> 1];
/** @param {unknown} one @param {unknown} other */
const alike = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** Returns a part of an address, or nothing where it goes without saying. @template {keyof State} K @param {State} state @param {K} key */
function part(state, key) {
  const [name, kind] = KEYS[key], value = state[key], usual = key === "anchor" && !alike(state.rows, FIRST.rows) ? middle(state.rows) : FIRST[key];
  return value === null || value === undefined || alike(value, usual) ? [] : [`${name}=${kind.write(value)}`];
}

/** Returns the state as the part of an address behind #; parts that are as at first are left out. @param {State} state */
export function written(state) {
  return NAMES.flatMap((key) => part(state, key)).join("&");
}

/** Returns the state of an address; parts that are not understood are as at first. @param {string} text @returns {State} */
export function readState(text) {
  const state = { ...FIRST };
  const given = new Map(text.replace(/^#/, "").split("&").map((part) => {
    const at = part.indexOf("=");
    try {
      return [part.slice(0, at), decodeURIComponent(part.slice(at + 1))];
    } catch {
      return ["", ""];
    }
  }));
  /** @template {keyof State} K @param {K} key */
  const take = (key) => {
    const [name, kind] = KEYS[key], value = given.get(name);
    if (value !== undefined) state[key] = kind.read(value) ?? FIRST[key];
  };
  NAMES.forEach(take);
  const { rows, anchor } = state, fits = anchor[0] < rows.length && anchor[1] < rows[0].length;
  if (!fits || (!alike(rows, FIRST.rows) && !given.has("anchor"))) state.anchor = middle(rows);
  if (state.data) state.image = "data";
  else if (state.image === "data") state.image = FIRST.image;
  return state;
}

/** The history: states that undo and redo go through; changes of one control in a row are one. */
export class History {
  /** @param {State} state */
  constructor(state) {
    this.states = [state];
    this.now = 0;
    this.last = "";
  }
  /** @param {State} state @param {string} kind */
  push(state, kind) {
    const same = kind && kind === this.last && this.now > 0 && this.now === this.states.length - 1;
    this.states.splice(same ? this.now : this.now + 1);
    this.states.push(state);
    if (this.states.length > 200) this.states.shift();
    this.now = this.states.length - 1;
    this.last = kind;
  }
  /** Returns the state before or after, or null where there is none. @param {number} by */
  step(by) {
    const to = this.now + by;
    if (to < 0 || to >= this.states.length) return null;
    this.last = "";
    return this.states[(this.now = to)];
  }
}
