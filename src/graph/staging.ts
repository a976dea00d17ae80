/**
 * How images get into textures, from which kernels for processors read them faster than from buffers:
 * planes stacked one below the other, or some rows of all planes.
 *
 * Here `views` are images of one batch and size whose planes follow each other, image by image: a
 * concatenation that costs nothing beyond the copies.
 * @module
 */
import { type C4Geometry, c4Geometry, type ImageType, stageGeometry } from "./layout.ts";
import type { ImageView, TextureCopyStep } from "./lower.ts";
import type { UnitRange } from "./windows.ts";

/** A texture, in texels, and the copies that fill it. */
export interface Staged {
  readonly width: number;
  readonly height: number;
  readonly copies: readonly Omit<TextureCopyStep, "kind" | "label" | "target">[];
}

function geometriesOf(views: readonly ImageView[], images: ImageType) {
  const [first, ...others] = views.map(({ shape }) => c4Geometry(shape, images));
  if (!first) throw new Error("Nothing to stage");
  return { first, geometries: [first, ...others] };
}

/** Some rows of pixels of some images of a batch. */
export interface ImagePart {
  /** Which images of the batch. */
  readonly images: UnitRange;
  /** Which rows of each, borders not counted. */
  readonly rows: UnitRange;
}

/**
 * A part of all planes, with the row above and the one below it, stacked as `stageGeometry` says: the
 * planes of an image of as many rows whose border need not be zero above and below.
 */
export function stackPlanes(
  views: readonly ImageView[],
  { images, rows }: ImagePart,
  type: ImageType,
  maxTextureDimension: number,
): Staged {
  const { first, geometries } = geometriesOf(views, type);
  const { pitch, height, vectorBytes } = first;
  const planeRows = rows.count + 2;
  const planes = geometries.reduce((sum, g) => sum + g.channelBlocks, 0) * images.count;
  const stack = stageGeometry(planes, planeRows, pitch, maxTextureDimension);
  // Whole planes follow each other in memory, too.
  const mostAtOnce = rows.count === height ? Infinity : 1;
  const copies: Staged["copies"][number][] = [];
  let plane = 0;
  for (let n = images.first; n < images.first + images.count; n++) {
    views.forEach((view, i) => {
      const { channelBlocks, planeSize } = geometries[i] ?? first;
      let done = 0;
      while (done < channelBlocks) {
        const row = plane % stack.planesPerColumn;
        const count = Math.min(channelBlocks - done, stack.planesPerColumn - row, mostAtOnce);
        const vector = (n * channelBlocks + done) * planeSize + rows.first * pitch;
        copies.push({
          source: view.memory,
          offsetBytes: vector * vectorBytes,
          bytesPerRow: pitch * vectorBytes,
          x: Math.floor(plane / stack.planesPerColumn) * pitch,
          y: row * planeRows,
          width: pitch,
          height: count * planeRows,
        });
        done += count;
        plane += count;
      }
    });
  }
  return { width: stack.width, height: stack.height, copies };
}

/**
 * Where rows of planes lie. Rows are counted through the images of a batch: row y of image n, border
 * included, is n * (H + 2) + y. Of the rows that are staged, row r of plane p begins at texel
 * ((r % bandRows) * pitch, floor(r / bandRows) * planes + p).
 */
export interface BandGeometry {
  readonly bandRows: number;
  readonly width: number;
  readonly height: number;
}

/**
 * The geometry of `count` rows of `planes` planes, in as few bands as can be: each costs a copy.
 * @throws {RangeError} where no texture of `maxTextureDimension` holds them
 */
export function bandGeometry(
  planes: number,
  count: number,
  pitch: number,
  maxTextureDimension: number,
): BandGeometry {
  const most = Math.floor(maxTextureDimension / pitch);
  const bands = Math.ceil(count / most);
  const bandRows = Math.ceil(count / bands);
  const height = bands * planes;
  if (!(most >= 1 && height <= maxTextureDimension)) {
    throw new RangeError(
      `${count} rows of ${pitch} texels of ${planes} planes do not fit a texture of ` +
        `${maxTextureDimension} x ${maxTextureDimension}`,
    );
  }
  return { bandRows, width: bandRows * pitch, height };
}

/** Some rows of all planes; a copy takes those of a band from all planes of a view at once. */
export function stageBands(
  views: readonly ImageView[],
  { first, count }: UnitRange,
  images: ImageType,
  maxTextureDimension: number,
): Staged {
  const { first: { pitch, rows, vectorBytes }, geometries } = geometriesOf(views, images);
  const planes = geometries.reduce((sum, g) => sum + g.channelBlocks, 0);
  const { bandRows, width, height } = bandGeometry(planes, count, pitch, maxTextureDimension);
  const copies: Staged["copies"][number][] = [];
  for (const { from, to } of pieces(first, first + count, rows, bandRows)) {
    const image = Math.floor(from / rows);
    let plane = Math.floor((from - first) / bandRows) * planes;
    views.forEach((view, i) => {
      const { channelBlocks, planeSize } = geometries[i] as C4Geometry;
      const row = image * channelBlocks * rows + from % rows;
      copies.push({
        source: view.memory,
        offsetBytes: row * pitch * vectorBytes,
        bytesPerRow: planeSize * vectorBytes,
        x: (from - first) % bandRows * pitch,
        y: plane,
        width: (to - from) * pitch,
        height: channelBlocks,
      });
      plane += channelBlocks;
    });
  }
  return { width, height, copies };
}

/** Rows `first` to `end`, cut where an image or a band ends. */
function pieces(first: number, end: number, imageRows: number, bandRows: number) {
  const pieces: { from: number; to: number }[] = [];
  for (let from = first; from < end;) {
    const imageEnd = (Math.floor(from / imageRows) + 1) * imageRows;
    const bandEnd = first + (Math.floor((from - first) / bandRows) + 1) * bandRows;
    const to = Math.min(end, imageEnd, bandEnd);
    pieces.push({ from, to });
    from = to;
  }
  return pieces;
}
