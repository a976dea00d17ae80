// Merges the partial statistics of batch_norm2d_stats and updates the running ones.
//
// Formula   mean, invstd = 1 / sqrt(m2 / count + eps);
//           running = (1 - momentum) * running + momentum * (mean | m2 / (count - 1))
//           merging: m2 = sum of m2_i + n_i (mean_i - mean)^2;
//           with images of 16 bits, a channel whose mean or m2 is no finite number keeps its running
// Layout    partials: see batch_norm2d_stats; everything else flat [C], read and written as vec4s;
//           lanes that are no channel become zero
// Bindings  0 params, 1 partials, 2 mean, 3 invstd, 4 running mean, 5 running variance
// Constants LANES: invocations that share a block of four channels, a power of two; GROUP_BLOCKS of
//           a workgroup; CHUNK_LANES: of batch_norm2d_stats
// Grid      GROUP_BLOCKS blocks a workgroup, in x
// Source    Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983

struct Params {
  images: u32,
  channels: u32,
  blocks: u32,
  height: u32,
  width: u32,
  chunkRows: u32,
  chunks: u32,
  momentum: f32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> mean: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> invstd: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> running_mean: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> running_variance: array<vec4f>;
//@if LANES > 1
var<workgroup> shared_counts: array<f32, ${LANES * GROUP_BLOCKS}>;
var<workgroup> shared_means: array<vec4f, ${LANES * GROUP_BLOCKS}>;
var<workgroup> shared_m2s: array<vec4f, ${LANES * GROUP_BLOCKS}>;
//@end

@compute @workgroup_size(${LANES}, ${GROUP_BLOCKS})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let block = min(group.x * ${GROUP_BLOCKS}u + local.y, params.blocks - 1u);
  let width = params.width;
  let length = params.chunks * ${CHUNK_LANES}u;
  // Lane 1 of the first chunk always has values.
  let pivot = partials[block * length * 2u + 2u];
  var count = 0.0;
  var sum = vec4f();
  var squares = vec4f();
  var m2 = vec4f();
  for (var image = 0u; image < params.images; image++) {
    let base = (image * params.blocks + block) * length;
    for (var i = local.x; i < length; i += ${LANES}u) {
      let lane = i % ${CHUNK_LANES}u;
      let row = i / ${CHUNK_LANES}u * params.chunkRows;
      let columns = (width + ${CHUNK_LANES}u - lane) / ${CHUNK_LANES}u - select(0u, 1u, lane == 0u);
      let n = f32(columns * min(params.chunkRows, params.height - row));
      let at = (base + i) * 2u;
      let d = partials[at] - pivot;
      count += n;
      sum += n * d;
      squares += n * d * d;
      m2 += partials[at + 1u];
    }
  }
  var shift = sum / max(count, 1.0);
  m2 += max(squares - sum * shift, vec4f());
  var center = pivot + shift;
//@if LANES > 1
  let slot = local.y * ${LANES}u + local.x;
  shared_counts[slot] = count;
  shared_means[slot] = center;
  shared_m2s[slot] = m2;
  workgroupBarrier();
  for (var half = ${LANES / 2}u; half > 0u; half /= 2u) {
    if (local.x < half) {
      let n = shared_counts[slot + half];
      let d = shared_means[slot + half] - center;
      let share = n / max(count + n, 1.0);
      m2 += shared_m2s[slot + half] + d * d * (count * share);
      center += d * share;
      count += n;
      shared_counts[slot] = count;
      shared_means[slot] = center;
      shared_m2s[slot] = m2;
    }
    workgroupBarrier();
  }
//@end
  if (local.x > 0u || group.x * ${GROUP_BLOCKS}u + local.y >= params.blocks) {
    return;
  }
  let channel = block * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(params.channels);
  mean[block] = select(vec4f(), center, channel);
  invstd[block] = select(vec4f(), 1.0 / sqrt(m2 / count + params.eps), channel);
  let m = params.momentum;
  let old_mean = running_mean[block];
  let old_variance = running_variance[block];
  var new_mean = (1.0 - m) * old_mean + m * center;
  var new_variance = (1.0 - m) * old_variance + m * m2 / max(count - 1.0, 1.0);
//@if IMAGE == 'vec4h'
  // A batch may overflow. Then so do its gradients, and its update is left out (gradient_norm.wgsl);
  // nor must it spoil these. By their bits: compilers may take for granted that values are finite.
  let exponent = vec4u(0x7f800000u);
  let finite = ((bitcast<vec4u>(center) & exponent) != exponent) &
    ((bitcast<vec4u>(m2) & exponent) != exponent);
  new_mean = select(old_mean, new_mean, finite);
  new_variance = select(old_variance, new_variance, finite);
//@end
  running_mean[block] = select(vec4f(), new_mean, channel);
  running_variance[block] = select(vec4f(), new_variance, channel);
}
