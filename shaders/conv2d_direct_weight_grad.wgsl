// Weight gradient of a 2-D convolution with respect to the weights of one of its inputs.
//
// Formula   dw[o,i,u,v] = sum over n,y,x of dy[n,o,y,x] * x[n,i,Y,X], where
//           Y = y*strideY + u*dilationY - paddingY, X = x*strideX + v*dilationX - paddingX
//           This dispatch leaves one partial sum a strip of rows;
//           conv2d_direct_weight_grad_reduce adds them.
//
// An invocation keeps TAPS taps of a kernel row for 4 * OUT_PLANES output and 4 input channels in
// registers and walks the rows of its strip. Positions outside the input are moved to its border,
// and columns past the output gradient read its padding; both are zero.
//
// Layout    input, gradient  c4
//           partials  [strip][output block][input plane][kernel row][tap group][tap][input lane]
//                     [output plane of block], four output channels a vec4
// Bindings  0 params, 1 input, 2 gradient, 3 partials
// Constants OUT_PLANES; TAPS; PIXELS read at once, which share their columns if more than one and
//           then need strideX = dilationX = 1
// Grid      x then y over tap groups (fastest), kernel rows, input planes, output blocks, strips

struct Params {
  count: u32,
  stride: u32, // invocations in a grid row
  planes: u32, // of an image of this input
  firstPlane: u32, // of this input among all
  inputPlanes: u32,
  gradientPlanes: u32,
  blocks: u32,
  kernelRows: u32,
  tapGroups: u32,
  width: u32, // of the gradient, as the next three
  height: u32,
  rows: u32,
  pitch: u32,
  inputRows: u32,
  inputEnd: u32, // column of the right border
  inputPitch: u32,
  strideX: i32,
  strideY: i32,
  dilationX: i32,
  dilationY: i32,
  originX: i32, // 1 - padding: positions count from the border
  originY: i32,
  rowsPerStrip: u32,
  rowsOfBatch: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
//@input(1) input: IMAGE
//@input(2) gradient: IMAGE
@group(0) @binding(3) var<storage, read_write> partials: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let index = id.y * params.stride + id.x;
  if (index >= params.count) {
    return;
  }
  let tapGroup = index % params.tapGroups;
  let rowIndex = index / params.tapGroups;
  let kernelRow = rowIndex % params.kernelRows;
  let planeIndex = rowIndex / params.kernelRows;
  let plane = planeIndex % params.planes;
  let blockIndex = planeIndex / params.planes;
  let block = blockIndex % params.blocks;
  let strip = blockIndex / params.blocks;

  let width = params.width;
  let strideX = params.strideX;
  let lastX = i32(params.inputEnd);
  let lastY = i32(params.inputRows) - 1;
  let planeSize = params.rows * params.pitch;
  let firstX = params.originX + i32(tapGroup * ${TAPS}u) * params.dilationX;
  let firstY = params.originY + i32(kernelRow) * params.dilationY;
  let firstRow = strip * params.rowsPerStrip;
  let endRow = min(firstRow + params.rowsPerStrip, params.rowsOfBatch);
  var image = firstRow / params.height;
  var row = firstRow % params.height;

  //@for t in 0..TAPS
  //@for c in 0..4
  $each(k in 0..OUT_PLANES){ var sum${t}_${c}_${k} = vec4f(); }
  //@end
  //@end
  for (var i = firstRow; i < endRow; i++) {
    let gradientStart = image * params.gradientPlanes * planeSize + (row + 1u) * params.pitch + 1u;
    //@for k in 0..OUT_PLANES
    let gradient${k} = gradientStart +
      min(block * ${OUT_PLANES}u + ${k}u, params.gradientPlanes - 1u) * planeSize;
    //@end
    let inputY = u32(clamp(i32(row) * params.strideY + firstY, 0, lastY));
    let inputRow = ((image * params.planes + plane) * params.inputRows + inputY) *
      params.inputPitch;
    var inputX = firstX;
    for (var x = 0u; x < width; x += ${PIXELS}u) {
      //@for p in 0..PIXELS
      $each(k in 0..OUT_PLANES){ let g${p}_${k} = gradient_at(gradient${k} + x + ${p}u); }
      //@end
      //@if PIXELS > 1
      //@for j in 0..PIXELS + TAPS - 1
      let v${j} = input_at(inputRow + u32(clamp(inputX + ${j}, 0, lastX)));
      //@end
      //@else
      //@for t in 0..TAPS
      let v${t} = input_at(inputRow + u32(clamp(inputX + ${t} * params.dilationX, 0, lastX)));
      //@end
      //@end
      //@for t in 0..TAPS
      //@for c in 0..4
      $each(k in 0..OUT_PLANES){ sum${t}_${c}_${k} += $sum(p in 0..PIXELS){ v${p + t}.${lane(c)} * g${p}_${k} }; }
      //@end
      //@end
      inputX += ${PIXELS} * strideX;
    }
    row++;
    if (row == params.height) {
      row = 0u;
      image++;
    }
  }

  let task = (((strip * params.blocks + block) * params.inputPlanes + params.firstPlane + plane) *
    params.kernelRows + kernelRow) * params.tapGroups + tapGroup;
  //@for t in 0..TAPS
  //@for c in 0..4
  $each(k in 0..OUT_PLANES){ partials[task * ${TAPS * 4 * OUT_PLANES}u + ${(t * 4 + c) * OUT_PLANES + k}u] = sum${t}_${c}_${k}; }
  //@end
  //@end
}
