/**
 * A real Chromium without a window, driven through the DevTools protocol over its WebSocket. WebGPU
 * runs on its own software adapter, so no graphics driver is needed.
 *
 * Source: https://chromedevtools.github.io/devtools-protocol/
 * @module
 */
import { canListen, canRead, canRun, canWrite } from "../support.ts";

const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

const FLAGS = [
  "--headless=new",
  // Containers grant no user namespaces; the browser only ever sees pages of these tests.
  "--no-sandbox",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--remote-debugging-port=0",
  "--no-first-run",
  "--disable-gpu-sandbox",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  "--disable-component-update",
];

/** The browser on the PATH, or `undefined` where there is none or this run may not start it. */
export async function findChromium(): Promise<string | undefined> {
  if (!canRead || !canWrite || !canRun || !canListen) return undefined;
  for (const name of NAMES) {
    try {
      const { success } = await new Deno.Command(name, { args: ["--version"] }).output();
      if (success) return name;
    } catch {
      // Not there; the next name may be.
    }
  }
  return undefined;
}

/** What the protocol sends: an answer to a command, or an event. */
interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly message: string };
}

/** A page of a browser of its own. */
export class Page {
  /** Addresses that were asked for so far. */
  readonly requests: string[] = [];
  /** What went wrong in the page: uncaught errors, and errors and warnings on its console. */
  readonly complaints: string[] = [];
  readonly #socket: WebSocket;
  readonly #stop: () => Promise<void>;
  readonly #waiting = new Map<number, (message: Message) => void>();
  #lastId = 0;

  private constructor(socket: WebSocket, stop: () => Promise<void>) {
    this.#socket = socket;
    this.#stop = stop;
    socket.addEventListener("message", ({ data }) => this.#receive(JSON.parse(data)));
  }

  /** Starts `browser` with an empty profile and opens an empty page. */
  static async open(browser: string, flags: readonly string[] = FLAGS): Promise<Page> {
    const folder = await Deno.makeTempDir({ prefix: "unet-chromium-" });
    const child = new Deno.Command(browser, {
      args: [...flags, `--user-data-dir=${folder}`, "about:blank"],
      stdout: "null",
      stderr: "null",
    }).spawn();
    const stop = async () => {
      try {
        child.kill();
      } catch {
        // It ended by itself.
      }
      await child.status;
      await removeFolder(folder);
    };
    try {
      const port = await debuggingPort(folder);
      const targets: { type: string; webSocketDebuggerUrl: string }[] =
        await (await fetch(`http://127.0.0.1:${port}/json/list`)).json();
      const target = targets.find(({ type }) => type === "page");
      if (!target) throw new Error("the browser opened no page");
      const socket = new WebSocket(target.webSocketDebuggerUrl);
      await new Promise((resolve, reject) => {
        socket.addEventListener("open", resolve, { once: true });
        socket.addEventListener("error", reject, { once: true });
      });
      const page = new Page(socket, stop);
      for (const domain of ["Page", "Runtime", "Network", "DOM", "Log"]) {
        await page.send(`${domain}.enable`);
      }
      return page;
    } catch (error) {
      await stop();
      throw error;
    }
  }

  /** Runs a command of the protocol. @throws {Error} with the protocol's message. */
  async send(
    method: string,
    params: Readonly<Record<string, unknown>> = {},
  ): Promise<Readonly<Record<string, unknown>>> {
    const id = ++this.#lastId;
    const answer = new Promise<Message>((resolve) => this.#waiting.set(id, resolve));
    this.#socket.send(JSON.stringify({ id, method, params }));
    const { result, error } = await answer;
    if (error) throw new Error(`${method}: ${error.message}`);
    return result ?? {};
  }

  /** Goes to an address and waits until its document is there. */
  async goto(url: string): Promise<void> {
    await this.send("Page.navigate", { url });
    await this.until(`document.readyState === "complete" && location.href === "${url}"`);
  }

  /** The value of an expression in the page, awaited. @throws {Error} what it throws. */
  async evaluate(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    }) as {
      result: { value?: unknown };
      exceptionDetails?: { text: string; exception?: { description?: string } };
    };
    if (exceptionDetails) {
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    }
    return result.value;
  }

  /** Waits until an expression is true. @throws {Error} after `limitMs`. */
  async until(expression: string, limitMs = 20_000): Promise<void> {
    const end = performance.now() + limitMs;
    while (!await this.evaluate(expression)) {
      if (performance.now() > end) {
        throw new Error(`still not true: ${expression}; ${this.complaints.join("; ")}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Puts files into a file input, as if chosen by hand. */
  async choose(selector: string, files: readonly string[]): Promise<void> {
    const { root } = await this.send("DOM.getDocument") as { root: { nodeId: number } };
    const { nodeId } = await this.send("DOM.querySelector", { nodeId: root.nodeId, selector });
    await this.send("DOM.setFileInputFiles", { nodeId, files });
  }

  /** Ends the browser and removes its profile. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => {
      this.#socket.addEventListener("close", resolve, { once: true });
    });
    this.#socket.close();
    await this.#stop();
    await closed;
  }

  #receive(message: Message): void {
    const { id, method, params = {} } = message;
    if (id !== undefined) {
      this.#waiting.get(id)?.(message);
      this.#waiting.delete(id);
    } else if (method === "Network.requestWillBeSent") {
      this.requests.push((params.request as { url: string }).url);
    } else if (method === "Runtime.exceptionThrown") {
      const { text, exception } = params.exceptionDetails as {
        text: string;
        exception?: { description?: string };
      };
      this.complaints.push(exception?.description ?? text);
    } else if (method === "Runtime.consoleAPICalled") {
      const { type, args } = params as { type: string; args: { value?: unknown }[] };
      if (type === "error" || type === "warning") {
        this.complaints.push(args.map(({ value }) => String(value)).join(" "));
      }
    } else if (method === "Log.entryAdded") {
      const { level, text } = params.entry as { level: string; text: string };
      if (level === "error" || level === "warning") this.complaints.push(text);
    }
  }
}

/** The browser writes the port into its profile once it listens. */
async function debuggingPort(folder: string): Promise<number> {
  const end = performance.now() + 20_000;
  while (performance.now() < end) {
    try {
      const [port] = (await Deno.readTextFile(`${folder}/DevToolsActivePort`)).split("\n");
      if (port) return Number(port);
    } catch {
      // Not yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  throw new Error("the browser did not start within 20 seconds");
}

/** Processes of the browser may still write for a moment after it ended. */
async function removeFolder(folder: string): Promise<void> {
  for (let attempt = 0;; attempt++) {
    try {
      return await Deno.remove(folder, { recursive: true });
    } catch (error) {
      if (attempt === 20) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
