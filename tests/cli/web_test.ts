import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { serve } from "../../cli/web_server.ts";
import { listModels, type Site } from "../../cli/web_site.ts";
import { canListen } from "../support.ts";
import { inFolder, namesIn, noProcesses, runCommand, startCommand } from "./run_command.ts";
import { tinyCheckpoint } from "./tiny_model.ts";

const ignore = noProcesses || !canListen;

const SITE: Site = new Map([
  ["index.html", { type: "text/html", bytes: new TextEncoder().encode("<p>page</p>") }],
]);

Deno.test(
  "web --out writes plain files, and only over its own",
  { ignore },
  () =>
    inFolder(async (folder) => {
      const model = tinyCheckpoint();
      await Deno.mkdir(`${folder}/nets`);
      await Deno.writeFile(`${folder}/nets/best.safetensors`, model);
      const first = await runCommand(folder, ["web", "--out", "site"]);
      assertEquals([first.code, first.out], [0, ""], first.err);
      assertStringIncludes(first.err, "4 files written to site: ");
      assertEquals(await namesIn(`${folder}/site`), [
        "app.js",
        "checkpoints",
        "index.html",
        "style.css",
      ]);
      assertEquals(await Deno.readTextFile(`${folder}/site/checkpoints/index.json`), "[]");
      // Every file that the page names lies beside it.
      const page = await Deno.readTextFile(`${folder}/site/index.html`);
      const named = [...page.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, path = ""]) => path);
      assertEquals(named.filter((path) => !path.startsWith("data:")), ["style.css", "app.js"]);
      const script = await Deno.readTextFile(`${folder}/site/app.js`);
      assertStringIncludes(script, "@compute");
      assert(!/\bimport\b\s*[("'{*]/.test(script), "the script imports something");

      const again = await runCommand(folder, ["web", "--out", "site", "--checkpoints", "nets"]);
      assertEquals(again.code, 0, again.err);
      assertEquals(await Deno.readFile(`${folder}/site/checkpoints/best.safetensors`), model);
      assertEquals(
        JSON.parse(await Deno.readTextFile(`${folder}/site/checkpoints/index.json`)),
        [{ name: "best.safetensors", bytes: model.length }],
      );

      await Deno.writeTextFile(`${folder}/index.html`, "<p>mine</p>");
      const refused = await runCommand(folder, ["web", "--out", "."]);
      assertEquals(refused.code, 1);
      assertStringIncludes(refused.err, "index.html is a page of somebody else's");
      assertEquals(await Deno.readTextFile(`${folder}/index.html`), "<p>mine</p>");
      assertEquals(await namesIn(folder), ["index.html", "nets", "site"]);
    }),
);

Deno.test("web: wrong usage", { ignore }, () =>
  inFolder(async (folder) => {
    using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    for (
      const [status, args, message] of [
        [2, ["--out", "site", "--port", "8000"], "--port has no meaning with it"],
        [2, ["--port", "70000"], "--port must be between 0 and 65535"],
        [1, ["--checkpoints", "none"], "no folder none; --checkpoints names a folder"],
        [1, ["--port", `${taken.addr.port}`], `port ${taken.addr.port} is taken`],
      ] as const
    ) {
      const { code, err } = await runCommand(folder, ["web", ...args]);
      assertStringIncludes(err, message);
      assertEquals([code, message], [status, message]);
    }
    assertEquals(await namesIn(folder), []);
  }));

Deno.test("web serves until it is interrupted", {
  // Other systems know no signal that asks a process to end.
  ignore: ignore || Deno.build.os === "windows",
}, () =>
  inFolder(async (folder) => {
    await using child = startCommand(folder, ["web", "--port", "0"]);
    let log = "";
    let page = "";
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      log += text;
      const [url] = /http:\/\/127\.0\.0\.1:\d+\/(?= )/.exec(log) ?? [];
      if (url === undefined || page !== "") continue;
      page = await (await fetch(url)).text();
      child.kill("SIGINT");
    }
    assertEquals((await child.status).code, 0, log);
    assertStringIncludes(log, "The page offers no networks yet: there is no folder checkpoints");
    assertStringIncludes(page, "<title>Segment a photo</title>");
    await child.stdout.cancel();
  }));

Deno.test("web: where nobody asked for a port, the next free one is taken", {
  ignore,
}, async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr;
  await using server = serve({ site: SITE, checkpoints: "." }, port, true);
  assert(server.addr.port > port);
  assertEquals(server.addr.hostname, "127.0.0.1");
});

Deno.test(
  "web serves the page and the networks of its folder, and nothing else",
  { ignore },
  () =>
    inFolder(async (folder) => {
      const nets = `${folder}/nets`;
      await using server = serve({ site: SITE, checkpoints: nets }, 0, false);
      const ask = async (path: string, init: RequestInit = {}) => {
        const answer = await fetch(`http://127.0.0.1:${server.addr.port}${path}`, init);
        return { status: answer.status, text: await answer.text(), headers: answer.headers };
      };
      const page = await ask("/");
      assertEquals([page.status, page.text], [200, "<p>page</p>"]);
      assertEquals(page.headers.get("content-type"), "text/html");
      assertEquals((await ask("/checkpoints/index.json")).text, "[]");

      await Deno.mkdir(nets);
      await Deno.writeTextFile(`${folder}/secret.pth`, "secret");
      await Deno.writeTextFile(`${nets}/notes.txt`, "no network");
      for (
        const name of ["CP_epoch2.pth", "CP_epoch10.pth", "last.safetensors", "a b.safetensors"]
      ) {
        await Deno.writeTextFile(`${nets}/${name}`, name);
      }
      await Deno.writeTextFile(`${nets}/best.safetensors`, "best");
      const order = ["best.safetensors", "last.safetensors", "CP_epoch10.pth", "CP_epoch2.pth"];
      const models = await listModels(nets);
      assertEquals(models.map(({ name }) => name), [...order, "a b.safetensors"]);
      assertEquals(JSON.parse((await ask("/checkpoints/index.json")).text), models);
      assertEquals((await ask("/checkpoints/a%20b.safetensors")).text, "a b.safetensors");

      for (
        const path of [
          "/nothing.html",
          "/checkpoints/notes.txt",
          "/checkpoints/..%2Fsecret.pth",
          "/checkpoints/%2e%2e%2fsecret.pth",
          "/nets/best.safetensors",
        ]
      ) {
        assertEquals([path, (await ask(path)).status], [path, 404]);
      }
      assertEquals((await ask("/", { method: "POST", body: "photo" })).status, 405);
      assertEquals((await ask("/checkpoints/%zz")).status, 404);
      // A name of somebody else's that leads to this machine.
      assertEquals(await statusFor(server.addr.port, "evil.example"), 403);
      assertEquals(await statusFor(server.addr.port, "localhost"), 200);
    }),
);

/** The status for a request that names another host; `fetch` cannot lie about that. */
async function statusFor(port: number, host: string): Promise<number> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const request = `GET / HTTP/1.1\r\nHost: ${host}:${port}\r\nConnection: close\r\n\r\n`;
  await connection.write(new TextEncoder().encode(request));
  const answer = await new Response(connection.readable).text();
  return Number(answer.split(" ")[1]);
}
