// Gradient of bilinear resizing, gathered. An invocation owns ROWS rows of one input column. It
// walks down the output rows that read them, sums each along x over the outputs that read its
// column, and shares the sum between the two input rows the output row lies between.
//
// Formula   dx[r, c] = sum over output rows i of V[i, r] * sum over columns j of U[j, c] * dy[i, j];
//           V[i, r] is 1 - v where i reads from r, v where it reads from r - 1, else 0; U alike
// Layout    dy, dx c4; words, from the host in double precision:
//           for every input column: first output column, then bits of TAPS weights U;
//           for every output row: r, bits of v;
//           for r = 0 .. H: number of output rows that read from a row before r
// Bindings  0 params, 1 dy, 2 dx
// Constants ROWS; TAPS: weights to hold in registers, or 0 for params.taps of them in a loop
// Grid      x pitch, y chunks of ROWS rows, z planes of the input; the border is written, too

struct Params {
  width: u32, // of the input
  height: u32,
  pitch: u32,
  planeSize: u32,
  outPitch: u32,
  outPlaneSize: u32,
  chunks: u32,
  taps: u32,
  rowWords: u32,   // where the words of the output rows begin
  startWords: u32, // where the numbers for r begin
  words: array<u32>,
}

@group(0) @binding(0) var<storage, read> params: Params;
//@input(1) dy: IMAGE
@group(0) @binding(2) var<storage, read_write> dx: array<${IMAGE}>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let width = params.width;
  let height = params.height;
  let pitch = params.pitch;
  let planeSize = params.planeSize;
  let outPitch = params.outPitch;
  let outPlaneSize = params.outPlaneSize;
  let chunks = params.chunks;
  let rowWords = params.rowWords;
  let startWords = params.startWords;
  if (id.y >= chunks) {
    return;
  }
  let firstRow = id.y * ${ROWS}u;
  let endRow = min(height, firstRow + ${ROWS}u);
  let column = id.z * planeSize + id.x;
  if (firstRow == 0u) {
    dx[column] = ${IMAGE}(vec4f());
  }
  if (endRow == height) {
    dx[column + (endRow + 1u) * pitch] = ${IMAGE}(vec4f());
  }
  // Column 0 is border; its coordinate wraps and is no column of the image either.
  if (id.x - 1u >= width) {
    for (var row = firstRow; row < endRow; row++) {
      dx[column + (row + 1u) * pitch] = ${IMAGE}(vec4f());
    }
    return;
  }
  let across = (id.x - 1u) * (params.taps + 1u);
  let left = id.z * outPlaneSize + params.words[across] + 1u;
//@for t in 0..TAPS
  let u${t} = bitcast<f32>(params.words[across + ${t + 1}u]);
//@end
  // The row before the chunk takes part as well: outputs between it and the chunk's first row.
  var row = max(firstRow, 1u) - 1u;
  let end = params.words[startWords + endRow];
  var current = vec4f();
  var next = vec4f();
  for (var i = params.words[startWords + row]; i < end; i++) {
    let r = params.words[rowWords + 2u * i];
    let v = bitcast<f32>(params.words[rowWords + 2u * i + 1u]);
    while (row < r) {
      if (row >= firstRow) {
        dx[column + (row + 1u) * pitch] = ${IMAGE}(current);
      }
      current = next;
      next = vec4f();
      row++;
    }
    let at = left + (i + 1u) * outPitch;
//@if TAPS > 0
    let sum = $sum(t in 0..TAPS){u${t} * dy_at(at + ${t}u)};
//@else
    var sum = vec4f();
    for (var t = 0u; t < params.taps; t++) {
      sum += bitcast<f32>(params.words[across + t + 1u]) * dy_at(at + t);
    }
//@end
    current += (1f - v) * sum;
    next += v * sum;
  }
  while (row < endRow) {
    if (row >= firstRow) {
      dx[column + (row + 1u) * pitch] = ${IMAGE}(current);
    }
    current = next;
    next = vec4f();
    row++;
  }
}
