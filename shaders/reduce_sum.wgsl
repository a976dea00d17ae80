// Partial sums of contiguous chunks of memory, first of two levels.
//
// Formula   partial[plane][chunk][lane] = sum of x[plane][chunk] at lane, lane + CHUNK_LANES, ...
// Layout    x: vec4s in memory order, in planes of `count`; padding is zero, so it is summed along
// Bindings  0 params, 1 x, 2 partials
// Constants TAIL: 1 where the last vec4 of the memory holds only `tail` values (flat tensors);
//           CHUNK_LANES: invocations of a chunk; GROUP_CHUNKS: chunks of a workgroup; UNROLL: reads
//           of one pass through the loop
// Grid      chunks in y, planes in z

struct Params {
  count: u32,     // vec4s of a plane
  chunkSize: u32, // vec4s of a chunk, a multiple of CHUNK_LANES
  chunks: u32,
  tail: u32,      // 1..4 values in the last vec4
  firstPartial: u32, // of the window that is bound
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
  let base = group.z * params.count;
  let first = chunk * params.chunkSize;
  let end = base + min(first + params.chunkSize, params.count);
  var sum = vec4f();
  var i = base + first + local.x;
//@if TAIL
  for (; i < end; i += ${CHUNK_LANES}u) {
    let inside = select(4u, params.tail, i + 1u == params.count);
    sum += select(vec4f(), x_at(i), vec4u(0u, 1u, 2u, 3u) < vec4u(inside));
  }
//@else
  for (; i + ${CHUNK_LANES * (UNROLL - 1)}u < end; i += ${CHUNK_LANES * UNROLL}u) {
    sum += $sum(k in 0..UNROLL){x_at(i + ${CHUNK_LANES * k}u)};
  }
  for (; i < end; i += ${CHUNK_LANES}u) {
    sum += x_at(i);
  }
//@end
  partials[params.firstPartial + (group.z * params.chunks + chunk) * ${CHUNK_LANES}u + local.x] = sum;
}
