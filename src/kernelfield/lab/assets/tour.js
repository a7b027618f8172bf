// The guided tour: six steps that follow Zhang, Lipton, Li and Smola, Dive into Deep Learning, section 7.2; each is a state.
import { FIRST } from "./state.js";

/** @import { State } from "../types" */
/** @type {{title: string, text: string, state: Partial<State>}[]} */
const STEPS = [
  {
    title: "Slide",
    text: "The kernel slides over the image. At each place the pixels under it are multiplied by its weights and added up: that is one pixel of the after. Move the pointer over the after, or use the arrow keys.",
    state: { at: [2, 1] },
  },
  {
    title: "Edge",
    text: "With the kernel 1, −1 the result is 0 where neighbours are alike, 1 at an edge from white to black and −1 at one from black to white. Turn the kernel upright (rows 2, columns 1) and it sees none of these edges.",
    state: { at: [2, 5] },
  },
  {
    title: "Learn",
    text: "Given only the before and the after, the kernel can be found. Step by step: each step of gradient descent lowers the squared error, and the weights move to 1 and −1. At once gives the answer itself.",
    state: { view: "learn", how: "steps", size: [1, 2] },
  },
  {
    title: "Flip",
    text: "Strict convolution flips the kernel on both axes before it slides. With weights that are learned it makes no difference: the learned kernel is flipped too. Switch between the two and compare.",
    state: { flip: true, rows: [[0, 1], [2, 3]], data: [[0, 1, 2], [3, 4, 5], [6, 7, 8]], image: "data", at: [0, 0] },
  },
  {
    title: "Feature map",
    text: "The after is a feature map: it says where in the image the kernel found what it looks for. This one looks for edges from left to right; orange is positive, blue negative, and zero lies in the middle.",
    state: { image: "astronaut", rows: [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], anchor: [1, 1], mode: "same", at: [70, 110] },
  },
  {
    title: "Receptive field",
    text: "A unit of a deeper layer sees more of the image: each layer of 3×3 adds a pixel on every side, and strides and dilations multiply it. Add layers and see the field grow, past the edge of the image too.",
    state: { view: "fields", image: "astronaut", layers: [[3, 1, 1, 1], [3, 2, 1, 1], [3, 2, 1, 1]], unit: [20, 20] },
  },
];

/** The steps, each with its whole state. */
export const TOUR = STEPS.map((step, i) => ({ ...step, state: { ...FIRST, ...step.state, tour: i + 1 } }));
