// The records that go between the modules of the page; TypeScript reads this file, browsers do not.

/** Values by rows, columns and channels, with the depth of their numbers. */
export interface Image {
  width: number;
  height: number;
  channels: number;
  data: Float32Array;
  depth: 8 | 16 | "float";
  note?: string;
}

/** A before, and its after if there is one of its own. */
export interface Pair {
  before: Image;
  after?: Image;
}

/** Weights as they slide, and the element over the output pixel. */
export interface Kernel {
  weights: number[][];
  anchor: number[];
}

/** A kernel of the catalogue: rows over a divisor. */
export interface Entry {
  group: string;
  text: string;
  name: string;
  parameters: object;
  anchor: number[];
  divisor: number;
  rows: number[][];
}

export interface Catalogue {
  version: string;
  kernels: Entry[];
}

/** A learned kernel as docs/reference/filter.schema.json describes it. */
export interface Fit {
  format: number;
  version: string;
  verdict: string;
  explanation: string;
  name: string | null;
  description: string;
  parameters: object;
  size: number[];
  anchor: number[];
  kernel: number[][];
  stderr: (number | null)[][];
  integers: number[][] | null;
  divisor: number | null;
  offset: number | number[];
  rounding: string | null;
  boundary: string | null;
  cval: number;
  boundary_candidates: string[];
  boundary_reason: string;
  rank: number;
  undetermined: number[][][];
  r2: number;
  residual_sd: number;
  samples: number;
  excluded: number;
  channels: string[];
  notes: string[];
  losses: number[];
  layers: number[][][];
}

/** How a request is cancelled, and who hears how far it is. */
export interface Asked {
  signal?: AbortSignal;
  onProgress?: (share: number | null, text: string) => void;
}

/** A descent that goes on by steps; rates below `most` descend. */
export interface Steps {
  most: number;
  steps: (count: number, rate: number) => Promise<{ losses: number[]; kernel: number[][] }>;
}

/** A descent under way: its usual rate, the size and anchor of its kernel, and the steps of a turn. */
export interface Descent extends Steps {
  rate: number;
  size: number[];
  anchor: number[];
  many: number;
}

/** A layer of Fields along one axis. */
export interface Layer {
  kernel: number;
  stride: number;
  padding: number;
  dilation: number;
}

/** The whole state of the lab, which its address holds. */
export interface State {
  view: string;
  image: string;
  /** The numbers of the picture, where they are few. */
  data: number[][] | null;
  rows: number[][];
  divisor: number;
  anchor: number[];
  flip: boolean;
  mode: string;
  border: string;
  stride: number;
  dilation: number;
  /** The output pixel that is looked at. */
  at: number[] | null;
  zoom: number;
  /** The point of the before in the middle of the views. */
  centre: number[] | null;
  /** Kernel, stride, padding and dilation of each layer of Fields. */
  layers: number[][];
  unit: number[] | null;
  /** Size of the kernel to learn; null is searched for. */
  size: number[] | null;
  how: string;
  rate: number | null;
  /** Step of the tour, 0 for none. */
  tour: number;
}

/** How a part of the state is written and read; what cannot be read is null. */
export interface Kind<T> {
  write: (value: T) => string;
  read: (text: string) => T | null;
}

/** What is computed for a state. */
export interface Result {
  before: Image | null;
  map: Image | null;
  /** The kernel as it slides. */
  used: Kernel | null;
  /** Where the first value of the map lies in the before, and how far apart its values and the weights lie. */
  origin: number[];
  pitch: number;
  spread: number;
  mode: string;
  after: Image | null;
  afterOrigin: number[];
  residual: Image | null;
  fit: Fit | null;
  descent: Descent | null;
  losses: number[];
}

/** How values become colours: signed about zero, or grey from low to high. */
export interface Scale {
  signed: boolean;
  low: number;
  high: number;
}

/** A frame around rows and columns. */
export interface Frame {
  row: number;
  column: number;
  rows: number;
  columns: number;
  colour: string;
  wide?: number;
  dash?: number[];
}

/** What all views draw through: the side of a cell, and the point of the before in the middle. */
export interface Port {
  cell: number;
  centre: number[];
}

/** Where the lab stands: its files, the engine in Python, the part of the address behind # (null where there is none), listeners. */
export interface Options {
  asset: (name: string) => string;
  remote?: Remote | null;
  state?: string | null;
  before?: Image | null;
  after?: Image | null;
  onKernel?: (kernel: Kernel) => void;
  onFit?: (record: Fit) => void;
}

/** The engine in Python. */
export type Remote = ReturnType<typeof import("./assets/remote.js").createRemote>;

/** The header of an image that travels, and that with its bytes; a file has bytes alone. */
export interface Header {
  width: number;
  height: number;
  channels: number;
  depth: Image["depth"];
  dtype: "u1" | "u2" | "f4";
}

export interface Packed {
  header: Header | { bytes: number };
  bytes: Uint8Array<ArrayBuffer>;
}

/** An answer of Python's: progress, an error, or a result, which the bytes of its images follow. */
export interface Message {
  id: number;
  progress?: number | null;
  text?: string;
  error?: string;
  result?: unknown;
  images?: Header[];
}

/** How requests go to Python. */
export interface Channel {
  send: (message: object, images: Packed[], options: Asked) => Promise<void>;
  cancel: (id: number) => void;
  close: () => void;
  ready: Promise<unknown>;
}

type Receive = (content: Message, buffers: DataView<ArrayBuffer>[]) => void;

interface Traits {
  _kernel: Kernel | null;
  _record: Fit | null;
  _images: Header[];
  _pixels: DataView<ArrayBuffer>[];
}

/** The model of anywidget: the traits that Python shares, and a channel. */
export interface Model {
  get<K extends keyof Traits>(name: K): Traits[K];
  set(name: keyof Traits, value: object): void;
  save_changes(): void;
  send(content: object, callbacks?: object, buffers?: ArrayBuffer[]): void;
  on(event: "msg:custom", handler: Receive): void;
  on(event: "change:_kernel", handler: () => void): void;
  off(event: "msg:custom", handler: Receive): void;
  off(event: "change:_kernel", handler: () => void): void;
}

/** An image as it is sent to the worker, with its pixels the first time, and the one to forget. */
export interface Sent extends Omit<Image, "data" | "depth"> {
  data?: Float32Array;
  key: number;
  forget: number | null;
}

/** The functions of cpp/wasm.cpp. */
export type Engine = Record<"reserve" | "release" | "correlate" | "learn" | "descend" | "step" | "_initialize", (...given: number[]) => number> & {
  memory: WebAssembly.Memory;
};

/** A thread of its own, whose types are not those of a page. */
export interface Thread<M> {
  onmessage: (event: MessageEvent<M>) => void;
  postMessage: (message: object, transfer: Transferable[]) => void;
}
