// Partial statistics of batch normalisation, first of two levels.
//
// Formula   mean and m2 = sum of (x - mean)^2 over the rows of a chunk and columns lane,
//           lane + CHUNK_LANES, ...; sums are taken of x - pivot, with the first value as pivot,
//           because in float32 E[x^2] - E[x]^2 loses everything where the mean is large against the
//           deviation
// Layout    x: c4; partials: [plane][chunk][lane] of (mean, m2), two vec4s
// Bindings  0 params, 1 x, 2 partials
// Constants CHUNK_LANES: invocations of a chunk, divides 16; GROUP_CHUNKS: chunks of a workgroup
// Grid      chunks in y, planes in z
// Source    Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983

struct Params {
  height: u32,
  width: u32,
  pitch: u32,
  chunkRows: u32,
  chunks: u32,
  firstPlane: u32, // of the window that is bound
}

@group(0) @binding(0) var<storage, read> params: Params;
//@input(1) x: IMAGE
@group(0) @binding(2) var<storage, read_write> partials: array<vec4f>;

@compute @workgroup_size(${CHUNK_LANES}, ${GROUP_CHUNKS})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let chunk = group.y * ${GROUP_CHUNKS}u + local.y;
  if (chunk >= params.chunks) {
    return;
  }
  let pitch = params.pitch;
  let width = params.width;
  let row = chunk * params.chunkRows;
  let rows = min(params.chunkRows, params.height - row);
  let base = (group.z * (params.height + 2u) + row + 1u) * pitch;
  let end = base + rows * pitch;
  let pivot = x_at(base + clamp(local.x, 1u, width));
  var sum = vec4f();
  var squares = vec4f();
  // The pitch is a multiple of CHUNK_LANES, so that a lane walks memory in a straight line and its
  // column wraps to where it began.
  var column = local.x;
  for (var i = base + local.x; i < end; i += ${CHUNK_LANES}u) {
    // The border's distance to the pivot is not zero.
    let inside = column - 1u < width;
    let d = select(vec4f(), x_at(i) - pivot, inside);
    sum += d;
    squares = fma(d, d, squares);
    column += ${CHUNK_LANES}u;
    column = select(column, local.x, column >= pitch);
  }
  // Columns lane, lane + CHUNK_LANES, ... up to width; column 0 is the border.
  let border = select(0u, 1u, local.x == 0u);
  let columns = (width + ${CHUNK_LANES}u - local.x) / ${CHUNK_LANES}u - border;
  let shift = sum / max(f32(columns * rows), 1.0);
  let plane = params.firstPlane + group.z;
  let at = ((plane * params.chunks + chunk) * ${CHUNK_LANES}u + local.x) * 2u;
  partials[at] = pivot + shift;
  partials[at + 1u] = max(squares - sum * shift, vec4f());
}
