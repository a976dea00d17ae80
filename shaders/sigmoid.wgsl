// The logistic function and its gradient.
//
// Formula   forward: y = 1 / (1 + exp(-x)); grad: dx = dy * y * (1 - y)
// Layout    c4 (padding is written as zero, though sigmoid(0) is not) or flat; grad takes vec4s in
//           memory order, where zero padding stays zero by itself
// Bindings  0 params; forward: 1 x, 2 y; grad: 1 dy, 2 y, 3 dx
// Constants OP: forward | grad; LAYOUT: c4 | flat, always flat for grad
// Grid      forward in c4: pitch in x, rows in y, planes in z; else one invocation a vec4, x then y

struct Params {
//@if LAYOUT == 'c4'
  channels: u32,
  blocks: u32,
  height: u32,
  width: u32,
  pitch: u32,
  firstPlane: u32, // of the window that is bound
//@else
  count: u32,  // values in memory order
  stride: u32, // invocations in a grid row
//@end
}

@group(0) @binding(0) var<storage, read> params: Params;
//@if OP == 'grad'
//@input(1) dy: IMAGE
//@input(2) y: IMAGE
@group(0) @binding(3) var<storage, read_write> dx: array<${IMAGE}>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let i = id.y * params.stride + id.x;
  if (i * 4u >= params.count) {
    return;
  }
  let value = y_at(i);
  dx[i] = ${IMAGE}(dy_at(i) * value * (1.0 - value));
}
//@else
//@input(1) x: IMAGE
@group(0) @binding(2) var<storage, read_write> y: array<${IMAGE}>;

fn sigmoid(value: vec4f) -> vec4f {
  // exp of a positive number could overflow.
  let e = exp(-abs(value));
  return select(e, vec4f(1.0), value >= vec4f()) / (1.0 + e);
}

//@if LAYOUT == 'flat'
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.y * params.stride + id.x;
  if (i * 4u >= params.count) {
    return;
  }
  let inside = i * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(params.count);
  y[i] = ${IMAGE}(select(vec4f(), sigmoid(x_at(i)), inside));
}
//@else
@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(global_invocation_id) id: vec3u,
) {
  let column = id.x;
  if (column >= params.pitch) {
    return;
  }
  let block = (params.firstPlane + group.z) % params.blocks;
  let pixel = column - 1u < params.width && group.y - 1u < params.height;
  let channel = block * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(params.channels);
  let at = (group.z * (params.height + 2u) + group.y) * params.pitch + column;
  y[at] = ${IMAGE}(select(vec4f(), sigmoid(x_at(at)), channel & vec4<bool>(pixel)));
}
//@end
//@end
