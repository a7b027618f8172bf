// What the page starts with: the token of its address, and the lab.
import { mount } from "./lab.js";

const root = document.querySelector("main");
const address = new URL(location.href), token = address.searchParams.get("token");
const asset = (name) => new URL(name, document.baseURI).href;

/** The engine of the server that serves this page, where there is one. */
async function remote() {
  if (!token) return null;
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
  const { createRemote } = await import("./remote.js");
  const socket = new URL("session", address);
  socket.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  socket.hash = "";
  return createRemote(socket.href, token);
}

remote().then((engine) => mount(root, { asset, remote: engine, state: address.hash.slice(1) }));
