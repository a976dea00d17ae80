// Gradient of max_pool2d with kernel 2, stride 2 and no padding. Windows do not overlap, so an
// invocation owns one window: it finds the first maximum again and writes all four gradients.
//
// Formula   dx = dy at the first maximum of a window in row-major order, else 0
// Layout    dy, x, dx c4
// Bindings  0 params, 1 dy, 2 x, 3 dx
// Grid      x, y windows, shifted by one so that they cover the border; z planes

struct Params {
  width: u32, // of the windows
  height: u32,
  pitch: u32,
  planeSize: u32,
  inPitch: u32, // of x and dx
  inRows: u32,  // border included
  inPlaneSize: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
//@input(1) dy: IMAGE
//@input(2) x: IMAGE
@group(0) @binding(3) var<storage, read_write> dx: array<${IMAGE}>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  // Window (i, j) lies at rows 2i + 1, 2i + 2 and columns 2j + 1, 2j + 2 of the plane, border
  // counted, and window -1 holds row or column 0. Past the image there are windows of zeros.
  let top = 2u * id.y - 1u;
  let left = 2u * id.x - 1u;
  let bottom = 2u * id.y;
  let right = 2u * id.x;
  if (bottom > params.inRows || right > params.inPitch) {
    return;
  }
  let plane = id.z * params.inPlaneSize;
  let zero = vec4f();
  var g = zero;
  var isA = vec4<bool>();
  var isB = vec4<bool>();
  var isC = vec4<bool>();
  if (id.x - 1u < params.width && id.y - 1u < params.height) {
    g = dy_at(id.z * params.planeSize + id.y * params.pitch + id.x);
    let a = x_at(plane + top * params.inPitch + left);
    let b = x_at(plane + top * params.inPitch + right);
    let c = x_at(plane + bottom * params.inPitch + left);
    let d = x_at(plane + bottom * params.inPitch + right);
    let largest = max(max(a, b), max(c, d));
    isA = a == largest;
    isB = b == largest;
    isC = c == largest;
  }
  let restB = select(g, zero, isA);
  let restC = select(restB, zero, isB);
  let hasTop = id.y > 0u;
  let hasLeft = id.x > 0u;
  let hasBottom = bottom < params.inRows;
  let hasRight = right < params.inPitch;
  if (hasTop && hasLeft) {
    dx[plane + top * params.inPitch + left] = ${IMAGE}(select(zero, g, isA));
  }
  if (hasTop && hasRight) {
    dx[plane + top * params.inPitch + right] = ${IMAGE}(select(zero, restB, isB));
  }
  if (hasBottom && hasLeft) {
    dx[plane + bottom * params.inPitch + left] = ${IMAGE}(select(zero, restC, isC));
  }
  if (hasBottom && hasRight) {
    dx[plane + bottom * params.inPitch + right] = ${IMAGE}(select(restC, zero, isC));
  }
}
