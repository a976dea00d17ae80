// Gradient of max_pool2d for any window, gathered: an input value asks every window it lies in
// whether it is the window's first maximum.
//
// Formula   dx[p] = sum of dy[w] over windows w with x[p] = y[w] and x[q] != y[w] for every earlier
//           q of w in row-major order
// Layout    dy, x, y, dx c4
// Bindings  0 params, 1 dy, 2 x, 3 y, 4 dx
// Grid      x pitch, y rows, z planes of the input; the border is written, too

struct Params {
  width: i32, // of the output
  height: i32,
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
//@input(1) dy: IMAGE
//@input(2) x: IMAGE
//@input(3) y: IMAGE
@group(0) @binding(4) var<storage, read_write> dx: array<${IMAGE}>;

/** Number of whole strides in `length`, rounded up and at least 0. */
fn strides(length: i32, stride: i32) -> i32 {
  return max(length + stride - 1, 0) / stride;
}

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let row = i32(id.y) - 1;
  let column = i32(id.x) - 1;
  if (row > params.inHeight) {
    return;
  }
  let plane = id.z * params.inPlaneSize;
  var gradient = vec4f();
  if (row >= 0 && row < params.inHeight && column >= 0 && column < params.inWidth) {
    let value = x_at(plane + u32(row + 1) * params.inPitch + u32(column + 1));
    let firstI = strides(row + params.padY - params.kernelY + 1, params.strideY);
    let firstJ = strides(column + params.padX - params.kernelX + 1, params.strideX);
    let lastI = min((row + params.padY) / params.strideY, params.height - 1);
    let lastJ = min((column + params.padX) / params.strideX, params.width - 1);
    for (var i = firstI; i <= lastI; i++) {
      for (var j = firstJ; j <= lastJ; j++) {
        let window = id.z * params.planeSize + u32(i + 1) * params.pitch + u32(j + 1);
        let largest = y_at(window);
        var wins = value == largest;
        let left = j * params.strideX - params.padX;
        let right = min(left + params.kernelX, params.inWidth);
        for (var r = max(i * params.strideY - params.padY, 0); r <= row; r++) {
          let end = select(right, column, r == row);
          for (var c = max(left, 0); c < end; c++) {
            wins &= x_at(plane + u32(r + 1) * params.inPitch + u32(c + 1)) != largest;
          }
        }
        gradient += select(vec4f(), dy_at(window), wins);
      }
    }
  }
  dx[plane + id.y * params.inPitch + id.x] = ${IMAGE}(gradient);
}
