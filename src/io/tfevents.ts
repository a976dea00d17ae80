/**
 * TensorBoard's event files in bytes: records of TensorFlow around `Event` messages.
 *
 * Sources: https://github.com/tensorflow/tensorflow/blob/v2.15.0/tensorflow/core/lib/io/record_writer.h,
 * tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto
 * @module
 */
import { crc32c } from "./crc32.ts";
import { histogramOf } from "./tfevents_histogram.ts";
import { Message } from "./protobuf.ts";

/** A picture of an event. */
export interface EventImage {
  readonly width: number;
  readonly height: number;
  /** PNG or JPEG. */
  readonly bytes: Uint8Array;
}

/** What is told of a step; tags are TensorBoard's, groups divided by slashes. */
export interface StepSummary {
  readonly scalars?: Iterable<readonly [tag: string, value: number]>;
  readonly images?: Iterable<readonly [tag: string, image: EventImage]>;
  /** Their distribution is kept; values that are no finite numbers are left out. */
  readonly histograms?: Iterable<readonly [tag: string, values: Float32Array]>;
}

const EVENT = { wallTime: 1, step: 2, fileVersion: 3, graph: 4, summary: 5, session: 7 };
const SUMMARY_VALUE = { tag: 1, scalar: 2, image: 4, histogram: 5 };
const IMAGE = { height: 1, width: 2, channels: 3, bytes: 4 };
const HISTOGRAM = { min: 1, max: 2, count: 3, sum: 4, squares: 5, limits: 6, counts: 7 };
const SESSION_START = 1;

/** Every event of its file comes after this one. */
export function fileHeader(timeMs: number): Message {
  return event(timeMs).text(EVENT.fileVersion, "brain.Event:2");
}

/** Says that a run starts (again) at `step`: what earlier files tell of it and later no longer counts. */
export function sessionStart(timeMs: number, step: number): Message {
  return event(timeMs, step)
    .message(EVENT.session, new Message().integer(1, SESSION_START));
}

/** Tells the network's graph, a `GraphDef`. */
export function graphEvent(timeMs: number, graph: Message): Message {
  return event(timeMs).raw(EVENT.graph, graph.bytes());
}

/** Tells of a step. */
export function summaryEvent(timeMs: number, step: number, told: StepSummary): Message {
  const summary = new Message();
  for (const [tag, scalar] of told.scalars ?? []) {
    summary.message(1, valueOf(tag).float(SUMMARY_VALUE.scalar, scalar));
  }
  for (const [tag, { width, height, bytes }] of told.images ?? []) {
    const image = new Message().integer(IMAGE.height, height).integer(IMAGE.width, width)
      .integer(IMAGE.channels, 3).raw(IMAGE.bytes, bytes);
    summary.message(1, valueOf(tag).message(SUMMARY_VALUE.image, image));
  }
  for (const [tag, values] of told.histograms ?? []) {
    const { min, max, count, sum, squares, limits, counts } = histogramOf(values);
    const histogram = new Message().double(HISTOGRAM.min, min).double(HISTOGRAM.max, max)
      .double(HISTOGRAM.count, count).double(HISTOGRAM.sum, sum).double(HISTOGRAM.squares, squares)
      .doubles(HISTOGRAM.limits, limits).doubles(HISTOGRAM.counts, counts);
    summary.message(1, valueOf(tag).message(SUMMARY_VALUE.histogram, histogram));
  }
  return event(timeMs, step).message(EVENT.summary, summary);
}

/** An event as it stands in a file: its length and its bytes, each with a masked checksum. */
export function record(event: Message): Uint8Array<ArrayBuffer> {
  const bytes = event.bytes();
  const all = new Uint8Array(bytes.length + 16);
  const view = new DataView(all.buffer);
  view.setBigUint64(0, BigInt(bytes.length), true);
  view.setUint32(8, masked(crc32c(all.subarray(0, 8))), true);
  all.set(bytes, 12);
  view.setUint32(12 + bytes.length, masked(crc32c(bytes)), true);
  return all;
}

function event(timeMs: number, step = 0): Message {
  return new Message().double(EVENT.wallTime, timeMs / 1000).integer(EVENT.step, step);
}

const valueOf = (tag: string): Message => new Message().text(SUMMARY_VALUE.tag, tag);

/** Checksums of data that holds checksums are weak: TensorFlow turns them by 15 bits and adds this. */
function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
