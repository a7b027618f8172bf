// The engine in Python, with the methods of the local one: over a WebSocket to the server, or a notebook's channel.

/**
 * @typedef {{width: number, height: number, channels: number, depth: 8 | 16 | "float", data: Float32Array}} Image
 * @typedef {{weights: number[][], anchor: [number, number]}} Kernel
 * @typedef {{signal?: AbortSignal, onProgress?: (fraction: number | null, text: string) => void}} Options
 * @typedef {{header: object, bytes: Uint8Array}} Packed
 * @typedef {{
 *   send: (message: object, images: Packed[], options: Options) => Promise<void>,
 *   cancel: (id: number) => void,
 *   close: () => void,
 *   ready: Promise<unknown>,
 * }} Channel
 */

const PIECE = 1 << 20;
// Bytes that may wait in the browser: enough that the network never waits, few enough that Cancel is soon obeyed.
const AHEAD = 8 << 20;

/**
 * Return the engine behind a server's WebSocket. It connects with the first request, and again where the connection was lost.
 * @param {string | URL} url of the session, without the token
 * @param {string} token
 * @param {{onState?: (state: "connected" | "lost" | "refused") => void}} [options]
 */
export function createRemote(url, token, { onState = () => {} } = {}) {
  const address = new URL(url);
  address.searchParams.set("token", token);
  /** @type {WebSocket | null} */
  let socket = null;
  /** @type {Promise<WebSocket> | null} */
  let opening = null;
  let sending = Promise.resolve();
  const requests = new Requests();

  /** @returns {Promise<WebSocket>} */
  const open = () => {
    opening ??= new Promise((resolve, reject) => {
      const candidate = new WebSocket(address);
      let greeted = false;
      candidate.binaryType = "arraybuffer";
      candidate.onmessage = ({ data }) => {
        if (typeof data !== "string") {
          requests.piece(new Uint8Array(data));
          return;
        }
        const message = JSON.parse(data);
        if (message.ready) {
          greeted = true;
          socket = candidate;
          onState("connected");
          resolve(candidate);
        } else {
          requests.message(message);
        }
      };
      candidate.onclose = ({ reason }) => {
        socket = opening = null;
        onState(greeted ? "lost" : "refused");
        const line = greeted
          ? `the connection to kernelfield lab was lost${reason ? ` (${reason})` : ""}; try again`
          : "kernelfield lab does not answer; start it again and open the address that it prints";
        requests.fail(line);
        reject(new Error(line));
      };
    });
    return opening;
  };

  /** @type {Channel} */
  const channel = {
    async send(message, images, { signal, onProgress }) {
      const target = await open();
      // The pieces of two requests do not mix.
      const turn = sending;
      let done = () => {};
      sending = new Promise((resolve) => (done = () => resolve(undefined)));
      try {
        await turn;
        if (signal?.aborted) return;
        target.send(JSON.stringify(message));
        const total = images.reduce((sum, { bytes }) => sum + bytes.length, 0);
        let sent = 0;
        for (const { bytes } of images) {
          for (let start = 0; start < bytes.length; start += PIECE) {
            while (target.bufferedAmount > AHEAD && target.readyState === WebSocket.OPEN) await pause(10);
            if (signal?.aborted || target.readyState !== WebSocket.OPEN) return;
            const piece = bytes.subarray(start, start + PIECE);
            target.send(piece);
            sent += piece.length;
            if (total > PIECE) onProgress?.(Math.max(0, sent - target.bufferedAmount) / total, "sending");
          }
        }
      } finally {
        done();
      }
    },
    cancel(id) {
      if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ id, op: "cancel" }));
    },
    close() {
      socket?.close(1000);
    },
    get ready() {
      return open();
    },
  };
  return engine(channel, requests);
}

/**
 * Return the engine behind the channel of a notebook's widget.
 * @param {{
 *   send: (content: object, callbacks?: object, buffers?: ArrayBuffer[]) => void,
 *   on: (event: string, handler: (content: any, buffers: DataView[]) => void) => void,
 *   off: (event: string, handler: (content: any, buffers: DataView[]) => void) => void,
 * }} model
 */
export function createComm(model) {
  const requests = new Requests();
  /** @param {any} content @param {DataView[]} buffers */
  const receive = (content, buffers) => {
    requests.message(content);
    for (const view of buffers ?? []) requests.piece(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
  };
  model.on("msg:custom", receive);
  return engine(
    {
      async send(message, images, { signal }) {
        if (!images.length) model.send(message, undefined, []);
        // Servers of notebooks refuse messages of more than 10 MB, and may bring them in another order: each says what it is of.
        for (const [index, { bytes }] of images.entries()) {
          for (let start = 0; start < bytes.length; start += PIECE) {
            if (signal?.aborted) return;
            const piece = bytes.slice(start, start + PIECE).buffer;
            model.send({ ...message, piece: [index, start] }, undefined, [piece]);
          }
        }
      },
      cancel(id) {
        model.send({ id, op: "cancel" }, undefined, []);
      },
      close() {
        model.off("msg:custom", receive);
      },
      ready: Promise.resolve(),
    },
    requests,
  );
}

/** The requests that wait for an answer. */
class Requests {
  constructor() {
    /** @type {Map<number, {resolve: (answer: any) => void, reject: (error: Error) => void, options: Options}>} */
    this.waiting = new Map();
    /** @type {{id: number, result: any, images: any[], parts: Uint8Array[], filled: number} | null} */
    this.coming = null;
  }

  /** Take a message in JSON. @param {any} message */
  message(message) {
    const request = this.waiting.get(message.id);
    if ("progress" in message) {
      request?.options.onProgress?.(message.progress, message.text);
    } else if ("error" in message) {
      this.waiting.delete(message.id);
      request?.reject(new Error(message.error));
    } else {
      this.coming = { ...message, parts: message.images.map(allocated), filled: 0 };
      this.complete();
    }
  }

  /** Take the next bytes of the images that come. @param {Uint8Array} bytes */
  piece(bytes) {
    if (!this.coming) return;
    let from = 0;
    let before = 0;
    for (const part of this.coming.parts) {
      const at = this.coming.filled - before;
      if (at >= 0 && at < part.length && from < bytes.length) {
        const taken = bytes.subarray(from, from + part.length - at);
        part.set(taken, at);
        from += taken.length;
        this.coming.filled += taken.length;
      }
      before += part.length;
    }
    this.complete();
  }

  /** Answer the request whose images have all come. */
  complete() {
    if (!this.coming) return;
    const { id, result, images, parts, filled } = this.coming;
    if (filled < parts.reduce((sum, part) => sum + part.length, 0)) return;
    this.coming = null;
    const request = this.waiting.get(id);
    this.waiting.delete(id);
    request?.resolve({ result, images: images.map((header, index) => unpack(header, parts[index])) });
  }

  /** Fail all requests with a line. @param {string} line */
  fail(line) {
    this.coming = null;
    for (const { reject } of this.waiting.values()) reject(new Error(line));
    this.waiting.clear();
  }
}

/**
 * @param {Channel} channel
 * @param {Requests} requests
 */
function engine(channel, requests) {
  // The views of one widget share a channel.
  let last = Math.floor(Math.random() * 2 ** 40);
  /**
   * @param {string} op
   * @param {object} args
   * @param {Packed[]} images
   * @param {Options} options
   * @returns {Promise<{result: any, images: Image[]}>}
   */
  const ask = (op, args, images, options = {}) => {
    const id = ++last;
    const { signal } = options;
    return new Promise((resolve, reject) => {
      const aborted = () => {
        requests.waiting.delete(id);
        channel.cancel(id);
        reject(new DOMException("cancelled", "AbortError"));
      };
      if (signal?.aborted) {
        reject(new DOMException("cancelled", "AbortError"));
        return;
      }
      signal?.addEventListener("abort", aborted, { once: true });
      const settled = () => signal?.removeEventListener("abort", aborted);
      requests.waiting.set(id, {
        resolve: (answer) => (settled(), resolve(answer)),
        reject: (error) => (settled(), reject(error)),
        options,
      });
      const message = { id, op, args, images: images.map(({ header }) => header) };
      channel.send(message, images, options).catch((error) => {
        requests.waiting.delete(id);
        settled();
        reject(error);
      });
    });
  };
  return {
    get ready() {
      return channel.ready;
    },
    close: () => channel.close(),
    /** @param {ArrayBuffer | Uint8Array} bytes @param {string} name @param {Options} [options] */
    async open(bytes, name, options) {
      const file = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
      const { result, images } = await ask("open", { name }, [{ header: { bytes: file.length }, bytes: file }], options);
      return { ...images[0], notes: result.notes, names: result.channels };
    },
    /**
     * @param {Image} image @param {Kernel} kernel
     * @param {{mode?: string, boundary?: string, cval?: number, flip?: boolean}} how @param {Options} [options]
     */
    async apply(image, kernel, how, options) {
      return (await ask("apply", { kernel, ...how }, [pack(image)], options)).images[0];
    },
    /** @param {Image} before @param {Image} after @param {{size?: number | number[] | null}} how @param {Options} [options] */
    async learn(before, after, { size = null } = {}, options) {
      return (await ask("learn", { size }, [pack(before), pack(after)], options)).result;
    },
    /** @param {Kernel} kernel @param {string} target @param {Options} [options] */
    async code(kernel, target, options) {
      return (await ask("code", { kernel, target }, [], options)).result.text;
    },
    /** @param {Kernel} kernel @param {Options} [options] */
    async name(kernel, options) {
      return (await ask("name", { kernel }, [], options)).result;
    },
    /** @param {{layers: object[], size: number[], unit?: number[] | null}} stack @param {Options} [options] */
    async receptive(stack, options) {
      return (await ask("receptive", stack, [], options)).result;
    },
  };
}

/** Return an image's header and bytes: whole numbers of 8 or 16 bits as such, so that Python learns from what was stored.
 * @param {Image} image @returns {Packed} */
function pack({ width, height, channels, depth, data }) {
  const most = depth === 8 ? 255 : depth === 16 ? 65535 : -1;
  const whole = most > 0 && data.every((value) => value >= 0 && value <= most && Number.isInteger(value));
  const [dtype, values] = !whole
    ? ["f4", data]
    : depth === 8
      ? ["u1", Uint8Array.from(data)]
      : ["u2", Uint16Array.from(data)];
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { header: { width, height, channels, depth: whole ? depth : "float", dtype }, bytes };
}

const ARRAYS = { u1: Uint8Array, u2: Uint16Array, f4: Float32Array };

/** @param {any} header @returns {Uint8Array} */
function allocated({ width, height, channels, dtype }) {
  const size = { u1: 1, u2: 2, f4: 4 }[/** @type {"u1" | "u2" | "f4"} */ (dtype)];
  return new Uint8Array(width * height * channels * size);
}

/** @param {any} header @param {Uint8Array} bytes @returns {Image} */
function unpack({ width, height, channels, depth, dtype }, bytes) {
  const values = new ARRAYS[/** @type {"u1" | "u2" | "f4"} */ (dtype)](bytes.buffer);
  return { width, height, channels, depth, data: values instanceof Float32Array ? values : Float32Array.from(values) };
}

/** @param {number} milliseconds */
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
