// Zero padding or cropping of images: a shifted copy.
//
// Formula   y[i, j] = x[i - top, j - left] inside of x, else 0
// Layout    x, y c4
// Bindings  0 params, 1 x, 2 y
// Grid      x pitch, y rows, z planes of the output; the border is written, too

struct Params {
  width: u32, // of the output
  height: u32,
  pitch: u32,
  planeSize: u32,
  inWidth: u32,
  inHeight: u32,
  inPitch: u32,
  inPlaneSize: u32,
  left: u32, // two's complement
  top: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
//@input(1) x: IMAGE
@group(0) @binding(2) var<storage, read_write> y: array<${IMAGE}>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  if (id.y >= params.height + 2u) {
    return;
  }
  // Coordinates wrap below 0, so one comparison tests both ends.
  let column = id.x - 1u - params.left;
  let row = id.y - 1u - params.top;
  var value = vec4f();
  if (
    id.x - 1u < params.width && id.y - 1u < params.height && column < params.inWidth &&
    row < params.inHeight
  ) {
    value = x_at(id.z * params.inPlaneSize + (row + 1u) * params.inPitch + column + 1u);
  }
  y[id.z * params.planeSize + id.y * params.pitch + id.x] = ${IMAGE}(value);
}
