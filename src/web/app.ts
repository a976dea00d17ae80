/// <reference lib="dom" />
/**
 * The page: what the user gives (a network, a photo, a scale) becomes a mask over the photo. Things
 * asked for while something runs wait for it.
 * @module
 */
import { encodeIndexedPng, InputError } from "../mod.ts";
import { classColours } from "../report/class_colours.ts";
import { drawn, element, type Report } from "./elements.ts";
import { Engine, whatIsMissing } from "./engine.ts";
import { Legend } from "./legend.ts";
import {
  fetchModel,
  type Model,
  modelText,
  readModel,
  servedModels,
  sizeText,
} from "./model_file.ts";
import { type Photo, readPhoto, scalePhoto } from "./photo.ts";
import { MODEL_ENDINGS } from "./served.ts";
import { type Mask, View } from "./view.ts";

/** The scale of networks that do not tell theirs, as on the command line. */
const DEFAULT_SCALE = 0.1;

const modelList = element("model-list", HTMLSelectElement);
const modelFile = element("model-file", HTMLInputElement);
const modelLine = element("model-text", HTMLElement);
const photoFile = element("photo-file", HTMLInputElement);
const photoLine = element("photo-text", HTMLElement);
const scaleField = element("scale", HTMLInputElement);
const scaleLine = element("scale-text", HTMLElement);
const runButton = element("run", HTMLButtonElement);
const result = element("result", HTMLElement);
const opacity = element("opacity", HTMLInputElement);
const problem = element("problem", HTMLElement);
const statusLine = element("status", HTMLElement);
const progress = element("progress", HTMLProgressElement);

const engine = new Engine();
const view = new View();
const legend = new Legend(() => view.redraw(legend.hidden));

let model: Model | undefined;
let photo: Photo | undefined;
let mask: Mask | undefined;
/** Nothing can be computed in this browser. */
let disabled = false;
let queue: Promise<void> = Promise.resolve();

const report: Report = (text, share) => {
  showStatus(share === undefined ? `${text} …` : `${text}: ${Math.round(share * 100)} %`);
  progress.hidden = false;
  if (share === undefined) progress.removeAttribute("value");
  else progress.value = share;
};

/** What stands there when nothing runs: what came of it, or nothing. */
function showStatus(text: string): void {
  statusLine.textContent = text;
  progress.hidden = true;
}

/** Runs `task` after those before it; what goes wrong is shown. */
function enqueue(task: () => Promise<void>): void {
  queue = queue.then(async () => {
    document.body.ariaBusy = "true";
    updateForm();
    // What is missing stays to be read.
    problem.hidden = !disabled;
    try {
      await task();
    } catch (error) {
      showStatus("");
      showProblem(sentence(error));
    } finally {
      document.body.ariaBusy = "false";
      updateForm();
    }
  });
}

function showProblem(text: string): void {
  problem.textContent = text;
  problem.hidden = false;
  problem.scrollIntoView({ block: "nearest" });
}

function sentence(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const text = error instanceof InputError ? message : `Something unexpected failed: ${message}`;
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

async function takeModel(read: () => Promise<Model>): Promise<void> {
  model = await read();
  legend.hidden.clear();
  modelLine.textContent = modelText(model);
  scaleField.placeholder = String(model.checkpoint.info.scale ?? DEFAULT_SCALE);
  scaleField.value = "";
  showStatus("");
  forgetMask();
  updateForm();
  await segment();
}

async function takePhoto(file: File): Promise<void> {
  const read = await readPhoto(file, file.name || "The pasted photo", report);
  photo = read;
  photoLine.textContent = `${read.name}: ${read.width} × ${read.height} pixels`;
  forgetMask();
  view.showPhoto(read);
  showStatus("");
  updateForm();
  await segment();
}

function forgetMask(): void {
  mask = undefined;
  view.clearMask();
  result.hidden = true;
}

/** The scale asked for, else the network's. @throws {InputError} where it is none. */
function scaleAsked(): number {
  const text = scaleField.value || scaleField.placeholder || String(DEFAULT_SCALE);
  const scale = Number(text);
  if (scaleField.validity.badInput || !(scale >= 0.001 && scale <= 1)) {
    throw new InputError("The scale must be a number between 0.001 and 1");
  }
  return scale;
}

async function segment(): Promise<void> {
  if (!model || !photo || disabled) return;
  const scale = scaleAsked();
  const startMs = performance.now();
  report("Scaling the photo");
  await drawn();
  const scaled = scalePhoto(photo, scale);
  const { width, height } = photo;
  const data = await engine.segment(model, scaled, [height, width], scale, report);
  const { classes } = model.checkpoint.info;
  mask = { width, height, data, palette: classColours(classes) };
  view.showMask(mask, legend.hidden);
  legend.show(mask, classes.map(({ name }) => name));
  result.hidden = false;
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  showStatus(
    `Done in ${seconds} s on ${engine.description}, at ${scaled.width} × ${scaled.height} pixels`,
  );
}

/** Saves the mask under the name that the command line gives it. */
async function download(): Promise<void> {
  if (!mask || !photo) return;
  report("Writing the mask");
  await drawn();
  const png = await encodeIndexedPng(mask);
  const url = URL.createObjectURL(new Blob([png], { type: "image/png" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `${photo.name.replace(/\.[^.]*$/, "")}_OUT.png`;
  link.click();
  // The browser reads it after this turn of its loop.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  showStatus(`Saved as ${link.download}`);
}

function updateForm(): void {
  runButton.disabled = !model || !photo || disabled || document.body.ariaBusy === "true";
  const scale = Number(scaleField.value || scaleField.placeholder);
  scaleLine.textContent = photo && scale > 0 && scale <= 1
    ? `The network sees ${Math.max(1, Math.floor(photo.width * scale))} × ` +
      `${Math.max(1, Math.floor(photo.height * scale))} pixels`
    : "Of the photo before the network sees it";
}

const isModel = (file: File) =>
  MODEL_ENDINGS.some((ending) => file.name.toLowerCase().endsWith(ending));

/** A file that is to be the network, whatever its name. */
function takeNetwork(file: File): void {
  modelList.value = "";
  enqueue(() =>
    takeModel(() => {
      report(`Reading ${file.name}`);
      return readModel(file, file.name);
    })
  );
}

/** Files that were dropped or pasted: at most one network and one photo. */
function take(files: readonly File[]): void {
  const network = files.find(isModel);
  const image = files.find((file) => !isModel(file));
  if (network) takeNetwork(network);
  if (image) enqueue(() => takePhoto(image));
}

function listen(): void {
  onChosen(modelFile, takeNetwork);
  onChosen(photoFile, (file) => enqueue(() => takePhoto(file)));
  element("run-form", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    enqueue(segment);
  });
  scaleField.addEventListener("input", updateForm);
  element("download", HTMLButtonElement).addEventListener("click", () => enqueue(download));
  opacity.addEventListener("input", showOpacity);
  addEventListener("paste", (event) => take([...event.clipboardData?.files ?? []]));
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  for (const name of ["dragleave", "drop"]) {
    addEventListener(name, () => document.body.classList.remove("dropping"));
  }
  addEventListener("drop", (event) => {
    event.preventDefault();
    take([...event.dataTransfer?.files ?? []]);
  });
}

function onChosen(input: HTMLInputElement, taker: (file: File) => void): void {
  input.addEventListener("change", () => {
    const [file] = input.files ?? [];
    if (file) taker(file);
    // So that choosing the same file again counts as a change.
    input.value = "";
  });
}

function showOpacity(): void {
  element("opacity-text", HTMLOutputElement).value = `${opacity.value} %`;
  view.setOpacity(Number(opacity.value) / 100);
}

/**
 * Offers what the host has. On the user's own machine the first one is read at once; elsewhere it
 * would be a download that nobody asked for.
 */
async function offerServed(): Promise<void> {
  const served = await servedModels();
  const [first] = served;
  if (!first) return;
  const near = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  modelList.replaceChildren(
    new Option("Choose one here …", ""),
    ...served.map(({ name, bytes }) =>
      new Option(near ? name : `${name}, ${sizeText(bytes)}`, name)
    ),
  );
  modelList.hidden = false;
  element("model-button", HTMLLabelElement).textContent = "Open…";
  const read = () => {
    const chosen = served.find(({ name }) => name === modelList.value);
    if (chosen) enqueue(() => takeModel(() => fetchModel(chosen, report)));
  };
  modelList.addEventListener("change", read);
  if (!near) return;
  modelList.value = first.name;
  read();
}

listen();
showOpacity();
updateForm();
enqueue(async () => {
  const missing = await whatIsMissing();
  disabled = missing !== undefined;
  if (missing !== undefined) showProblem(missing);
  await offerServed();
});
