// Softmax over the channels of every pixel, and its gradient.
//
// Formula   forward: y_c = exp(x_c - max x) / sum over k of exp(x_k - max x)
//           grad: dx_c = y_c * (dy_c - sum over k of dy_k y_k)
// Layout    c4; lanes that are no channel take no part
// Bindings  0 params; forward: 1 x, 2 y; grad: 1 dy, 2 y, 3 dx
// Constants OP: forward | grad
// Grid      pitch in x, rows in y, images in z

struct Params {
  channels: u32,
  blocks: u32,
  height: u32,
  width: u32,
  pitch: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
//@if OP == 'grad'
@group(0) @binding(1) var<storage, read> dy: array<vec4f>;
@group(0) @binding(2) var<storage, read> y: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4f>;
//@else
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;

fn channels_of(block: u32) -> vec4<bool> {
  return block * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(params.channels);
}
//@end

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(global_invocation_id) id: vec3u,
) {
  let pitch = params.pitch;
  let column = id.x;
  if (column >= pitch) {
    return;
  }
  let blocks = params.blocks;
  let plane = (params.height + 2u) * pitch;
  let first = (group.z * blocks * (params.height + 2u) + group.y) * pitch + column;
//@if OP == 'grad'
  // y is zero in the padding, so dx becomes zero there.
  var total = vec4f();
  var at = first;
  for (var b = 0u; b < blocks; b++) {
    total = fma(dy[at], y[at], total);
    at += plane;
  }
  let inner = (total.x + total.y) + (total.z + total.w);
  at = first;
  for (var b = 0u; b < blocks; b++) {
    dx[at] = y[at] * (dy[at] - inner);
    at += plane;
  }
//@else
  var largest = vec4f(-3.4e38);
  var at = first;
  for (var b = 0u; b < blocks; b++) {
    largest = max(largest, select(vec4f(-3.4e38), x[at], channels_of(b)));
    at += plane;
  }
  let top = max(max(largest.x, largest.y), max(largest.z, largest.w));
  var total = vec4f();
  at = first;
  for (var b = 0u; b < blocks; b++) {
    total += select(vec4f(), exp(x[at] - top), channels_of(b));
    at += plane;
  }
  let pixel = column - 1u < params.width && group.y - 1u < params.height;
  let scale = 1.0 / ((total.x + total.y) + (total.z + total.w));
  at = first;
  for (var b = 0u; b < blocks; b++) {
    let inside = channels_of(b) & vec4<bool>(pixel);
    y[at] = select(vec4f(), exp(x[at] - top) * scale, inside);
    at += plane;
  }
//@end
}
