// Copies rows of values from one place of a flat array to one of another: parts of weights and of
// their gradients.
//
// Formula   y[yFirst + r * yStride + i] = x[xFirst + r * xStride + i] for i < length and every row r;
//           with ADD what is there is added to
// Layout    floats in memory order
// Bindings  0 params, 1 x, 2 y
// Constants TYPE: f32 | f16; ADD: 0 | 1
// Grid      one invocation a value; x then y

struct Params {
  count: u32,  // values of all rows
  stride: u32, // invocations in a grid row
  length: u32, // of a row
  xFirst: u32,
  xStride: u32,
  yFirst: u32,
  yStride: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> x: array<${TYPE}>;
@group(0) @binding(2) var<storage, read_write> y: array<${TYPE}>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let index = id.y * params.stride + id.x;
  if (index >= params.count) {
    return;
  }
  let row = index / params.length;
  let i = index % params.length;
  let value = x[params.xFirst + row * params.xStride + i];
  let at = params.yFirst + row * params.yStride + i;
//@if ADD
  y[at] = ${TYPE}(f32(y[at]) + f32(value));
//@else
  y[at] = value;
//@end
}
