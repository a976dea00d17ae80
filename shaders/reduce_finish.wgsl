// Adds the partial sums of reduce_sum, second of two levels.
//
// Formula   y[block] = scale * sum over images and i of partials[image * blocks + block][i]
// Layout    partials: `length` vec4s a plane; y: flat, four channels a vec4 (lanes that are no
//           channel come from zero padding, so they are zero), or one scalar
// Bindings  0 params, 1 partials, 2 y
// Constants LANES: invocations that share a block, a power of two; GROUP_BLOCKS of a workgroup;
//           SCALAR: 1 adds the four lanes
// Grid      GROUP_BLOCKS blocks a workgroup, in x

struct Params {
  images: u32,
  blocks: u32,
  length: u32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> params: Params;
//@input(1) partials: 'vec4f'
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
//@if LANES > 1
var<workgroup> shared_sums: array<vec4f, ${LANES * GROUP_BLOCKS}>;
//@end

@compute @workgroup_size(${LANES}, ${GROUP_BLOCKS})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let block = group.x * ${GROUP_BLOCKS}u + local.y;
  var sum = vec4f();
  if (block < params.blocks) {
    for (var image = 0u; image < params.images; image++) {
      let base = (image * params.blocks + block) * params.length;
      var part = vec4f();
      for (var i = local.x; i < params.length; i += ${LANES}u) {
        part += partials_at(base + i);
      }
      sum += part;
    }
  }
//@if LANES > 1
  let slot = local.y * ${LANES}u + local.x;
  shared_sums[slot] = sum;
  workgroupBarrier();
  for (var half = ${LANES / 2}u; half > 0u; half /= 2u) {
    if (local.x < half) {
      sum += shared_sums[slot + half];
      shared_sums[slot] = sum;
    }
    workgroupBarrier();
  }
//@end
  if (local.x == 0u && block < params.blocks) {
//@if SCALAR
    y[block] = vec4f(params.scale * ((sum.x + sum.y) + (sum.z + sum.w)), 0.0, 0.0, 0.0);
//@else
    y[block] = params.scale * sum;
//@end
  }
}
