// What the page starts with: the token of its address, and the lab.
import { mount } from "./lab.js";

const KEY = "kernelfield lab";
const root = document.querySelector("main") ?? document.body;
const address = new URL(location.href);
/** @param {string} name */
const asset = (name) => new URL(name, document.baseURI).href;

/** The engine of the server that serves this page, where there is one. A page that is loaded again still has its token. */
async function remote() {
  const given = address.searchParams.get("token");
  if (given) {
    sessionStorage.setItem(KEY, given);
    address.searchParams.delete("token");
    history.replaceState(null, "", address);
  }
  const token = given ?? sessionStorage.getItem(KEY);
  if (!token) return null;
  const { createRemote } = await import("./remote.js");
  const session = new URL("session", address);
  session.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  session.search = session.hash = "";
  return createRemote(session, token, { onState: (state) => state === "refused" && sessionStorage.removeItem(KEY) });
}

remote().then((engine) => mount(root, { asset, remote: engine, state: address.hash.slice(1) }));
