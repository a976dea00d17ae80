// Softmax over the channels of every pixel, and its gradient.
//
// Formula   forward: y_c = exp(x_c - max x) / sum over k of exp(x_k - max x)
//           grad: dx_c = y_c * (dy_c - sum over k of dy_k y_k)
// Layout    c4; lanes that are no channel take no part
// Bindings  0 params; forward: x, y; grad: dy, y, dx; PARTS of each
// Constants OP: forward | grad; PARTS: bindings of a tensor, more than one where a single image is
//           too large for one
// Grid      pitch in x, rows in y, images in z

struct Params {
  channels: u32,
  blocks: u32,
  height: u32,
  width: u32,
  pitch: u32,
  partBlocks: u32, // planes of an image in a part
}

@group(0) @binding(0) var<storage, read> params: Params;
//@if OP == 'grad'
//@for s in 0..PARTS
//@input(s + 1) dy${s}: IMAGE
//@input(PARTS + s + 1) y${s}: IMAGE
@group(0) @binding(${2 * PARTS + s + 1}) var<storage, read_write> dx${s}: array<${IMAGE}>;
//@end
//@else
//@for s in 0..PARTS
//@input(s + 1) x${s}: IMAGE
@group(0) @binding(${PARTS + s + 1}) var<storage, read_write> y${s}: array<${IMAGE}>;
//@end

fn channels_of(channels: u32, block: u32) -> vec4<bool> {
  return block * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(channels);
}
//@end

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(global_invocation_id) id: vec3u,
) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let pitch = params.pitch;
  let column = id.x;
  if (column >= pitch) {
    return;
  }
  let blocks = params.blocks;
//@for s in 0..PARTS
  let begin${s} = ${s}u * params.partBlocks;
  let end${s} = min(blocks, ${s + 1}u * params.partBlocks);
//@end
  let plane = (params.height + 2u) * pitch;
  let first = (group.z * blocks * (params.height + 2u) + group.y) * pitch + column;
//@if OP == 'grad'
  // y is zero in the padding, so dx becomes zero there.
  var total = vec4f();
  var at = first;
//@for s in 0..PARTS
  at = first;
  for (var b = begin${s}; b < end${s}; b++) {
    total = fma(dy${s}_at(at), y${s}_at(at), total);
    at += plane;
  }
//@end
  let inner = (total.x + total.y) + (total.z + total.w);
//@for s in 0..PARTS
  at = first;
  for (var b = begin${s}; b < end${s}; b++) {
    dx${s}[at] = ${IMAGE}(y${s}_at(at) * (dy${s}_at(at) - inner));
    at += plane;
  }
//@end
//@else
  var largest = vec4f(-3.4e38);
  var at = first;
//@for s in 0..PARTS
  at = first;
  for (var b = begin${s}; b < end${s}; b++) {
    largest = max(largest, select(vec4f(-3.4e38), x${s}_at(at), channels_of(params.channels, b)));
    at += plane;
  }
//@end
  let top = max(max(largest.x, largest.y), max(largest.z, largest.w));
  var total = vec4f();
//@for s in 0..PARTS
  at = first;
  for (var b = begin${s}; b < end${s}; b++) {
    total += select(vec4f(), exp(x${s}_at(at) - top), channels_of(params.channels, b));
    at += plane;
  }
//@end
  let pixel = column - 1u < params.width && group.y - 1u < params.height;
  let scale = 1.0 / ((total.x + total.y) + (total.z + total.w));
//@for s in 0..PARTS
  at = first;
  for (var b = begin${s}; b < end${s}; b++) {
    let inside = channels_of(params.channels, b) & vec4<bool>(pixel);
    y${s}[at] = ${IMAGE}(select(vec4f(), exp(x${s}_at(at) - top) * scale, inside));
    at += plane;
  }
//@end
//@end
}
