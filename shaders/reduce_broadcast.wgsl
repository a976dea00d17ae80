// Gradient of a sum: the output's gradient at every element that was summed.
//
// Formula   y = scale * g, where g is one scalar or the value of the element's channel
// Layout    y: c4 (padding is written as zero) or flat
// Bindings  0 params, 1 g (flat), 2 y
// Constants SOURCE: scalar | channel (c4 only); LAYOUT: c4 | flat
// Grid      c4: pitch in x, rows in y, planes in z; flat: one invocation a vec4, x then y

struct Params {
  scale: f32,
//@if LAYOUT == 'flat'
  count: u32,  // values
  stride: u32, // invocations in a grid row
//@else
  channels: u32,
  blocks: u32,
  height: u32,
  width: u32,
  pitch: u32,
  firstPlane: u32, // of the window that is bound
//@end
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> g: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<${IMAGE}>;

//@if LAYOUT == 'flat'
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let i = id.y * params.stride + id.x;
  if (i * 4u >= params.count) {
    return;
  }
  let inside = i * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(params.count);
  y[i] = ${IMAGE}(select(vec4f(), vec4f(params.scale * g[0].x), inside));
}
//@else
@compute @workgroup_size(16, 4)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(global_invocation_id) id: vec3u,
) {
  if (id.y > params.height + 1u) {
    return;
  }
  let block = (params.firstPlane + group.z) % params.blocks;
//@if SOURCE == 'scalar'
  let value = vec4f(g[0].x);
//@else
  let value = g[block];
//@end
  let pixel = id.x >= 1u && id.x <= params.width && id.y >= 1u && id.y <= params.height;
  let channel = block * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(params.channels);
  let at = (group.z * (params.height + 2u) + id.y) * params.pitch + id.x;
  y[at] = ${IMAGE}(select(vec4f(), params.scale * value, channel & vec4<bool>(pixel)));
}
//@end
