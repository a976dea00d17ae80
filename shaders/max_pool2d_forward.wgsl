// Maximum over windows.
//
// Formula   y[i, j] = max over the window's rows i * strideY - padY + 0 .. kernelY - 1, columns
//           alike, of x; what lies outside the image never wins
// Layout    x, y c4
// Bindings  0 params, 1 x, 2 y
// Constants PAIRS: 1 for kernel 2, stride 2 and no padding, which need no bounds | 0
// Grid      x pitch, y rows, z planes of the output; the border is written, too

struct Params {
  width: u32, // of the output
  height: u32,
  pitch: u32,
  planeSize: u32,
  inWidth: i32,
  inHeight: i32,
  inPitch: u32,
  inPlaneSize: u32,
  kernelX: i32,
  kernelY: i32,
  strideX: i32,
  strideY: i32,
  padX: i32,
  padY: i32,
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
  let column = id.x - 1u;
  let row = id.y - 1u;
  var largest = vec4f();
  if (column < params.width && row < params.height) {
    let plane = id.z * params.inPlaneSize;
//@if PAIRS
    let at = plane + (2u * row + 1u) * params.inPitch + 2u * column + 1u;
    let below = at + params.inPitch;
    largest = max(max(x_at(at), x_at(at + 1u)), max(x_at(below), x_at(below + 1u)));
//@else
    let left = i32(column) * params.strideX - params.padX;
    let top = i32(row) * params.strideY - params.padY;
    let right = min(left + params.kernelX, params.inWidth);
    let bottom = min(top + params.kernelY, params.inHeight);
    largest = vec4f(-3.4e38f);
    for (var i = max(top, 0); i < bottom; i++) {
      for (var j = max(left, 0); j < right; j++) {
        largest = max(largest, x_at(plane + u32(i + 1) * params.inPitch + u32(j + 1)));
      }
    }
//@end
  }
  y[id.z * params.planeSize + id.y * params.pitch + id.x] = ${IMAGE}(largest);
}
