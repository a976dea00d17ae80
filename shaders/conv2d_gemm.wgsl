// 2-D convolution of any stride, padding and dilation, and its adjoint (input gradient, transposed
// convolution), as a matrix product in workgroup memory whose left side is the weights and whose
// right side, the pixels that the taps see, is gathered on the fly (implicit GEMM).
//
// Formula   y[n,o,Y,X] = bias[o] + sum over i and the taps (offsetY, offsetX) of the phase of
//             x[n, i, stepY*inputStrideY + offsetY, stepX*inputStrideX + offsetX] * w[o,i,tap]
//           where X = stepX*outputStrideX + phaseX; input positions count from the border, so that
//           the image starts at 1, and those outside are moved to the border, which is zero.
//           A convolution has one phase and inputStride = stride; its adjoint has
//           outputStride = stride, and in each phase the taps that meet an input pixel.
//           EPILOGUE affine: y = sum * scale[o] + offset[o], then max(y, 0) with RELU
//
// A workgroup computes CHANNEL_GROUPS * OUT_PLANES planes of four channels for ROWS x PIXELS
// pixels, a thread OUT_PLANES planes of a row. Each step takes PLANES input planes and a group of
// TAPS_Y x TAPS_X taps with neighbouring offsets: weights and the window of pixels they see go into
// workgroup memory; the loads for the next step are under way while this one is computed. Threads
// of a warp differ in rows (8) and then channels; an odd window pitch puts their rows into different
// banks, and weights are read by many threads at once. The arrays are nested so that the loop has
// but one index that is no constant: compilers of WGSL check every other against the bounds.
//
// Layout    inputs and output c4 (border and padding of the output are not written); packed as
//           conv2d_gemm_pack_weights leaves it
// Bindings  0 params, 1 .. SEGMENTS concatenated inputs, then packed, output, bias [O] or affine as
//           batch_norm2d_fold leaves it
// Constants SEGMENTS 1 to 4; TAPS_Y, TAPS_X (more than one only where inputStride is 1); PLANES;
//           CHANNEL_GROUPS; OUT_PLANES; ROWS, a multiple of 8; PIXELS; EPILOGUE none | bias |
//           affine; RELU 0 | 1
// Grid      x output blocks (fastest, so that neighbours read the same pixels) times phases,
//           y columns of tiles, z rows of tiles of all images

//@let threads = CHANNEL_GROUPS * ROWS
//@let blockPlanes = CHANNEL_GROUPS * OUT_PLANES
//@let windowH = ROWS + TAPS_Y - 1
//@let windowW = PIXELS + TAPS_X - 1
//@let weightSize = PLANES * TAPS_Y * TAPS_X * 4 * blockPlanes
//@let windowLoads = (windowH * windowW + threads - 1) / threads
//@let weightLoads = (weightSize + threads - 1) / threads

struct Params {
  width: u32,
  height: u32,
  rows: u32,
  pitch: u32,
  outputChannels: u32,
  outputPlanes: u32, // of an image
  blocks: u32,
  inputRows: u32,    // border included
  inputEnd: u32,     // column of the right border
  inputPitch: u32,
  inputPlanes: u32,  // of an image, all inputs
  chunks: u32,       // of PLANES input planes
  inputStrideX: u32,
  inputStrideY: u32,
  outputStrideX: u32,
  outputStrideY: u32,
  tilesY: u32, // rows of tiles of an image
  planes: array<u32, 4>, // of an image of each input
  // The first tap group of each phase and the end, then (offsetY, offsetX) of each group.
  table: array<i32>,
}

@group(0) @binding(0) var<storage, read> params: Params;
//@for s in 0..SEGMENTS
@group(0) @binding(${s + 1}) var<storage, read> x${s}: array<${IMAGE}>;
//@end
@group(0) @binding(${SEGMENTS + 1}) var<storage, read> packed: array<vec4f>;
@group(0) @binding(${SEGMENTS + 2}) var<storage, read_write> y: array<${IMAGE}>;
//@if EPILOGUE == 'bias'
@group(0) @binding(${SEGMENTS + 3}) var<storage, read> bias: array<f32>;

fn biasOf(channel: u32) -> f32 {
  return select(0.0, bias[min(channel, params.outputChannels - 1u)], channel < params.outputChannels);
}
//@end
//@if EPILOGUE == 'affine'
@group(0) @binding(${SEGMENTS + 3}) var<storage, read> affine: array<vec4f>;
//@end

alias PixelRow = array<vec4f, ${windowW / 2 * 2 + 1}>;
alias TapWeights = array<array<array<vec4f, ${OUT_PLANES}>, ${CHANNEL_GROUPS}>, ${TAPS_X * 4}>;

var<workgroup> pixels: array<PixelRow, ${PLANES * windowH}>;
var<workgroup> weights: array<TapWeights, ${PLANES * TAPS_Y}>;

// Past the last plane the weights are zero, so that any pixels do.
fn inputAt(image: u32, wanted: u32, cell: u32) -> vec4f {
  let planeSize = params.inputRows * params.inputPitch;
  var plane = min(wanted, params.inputPlanes - 1u);
  //@for s in 0..SEGMENTS - 1
  if (plane < params.planes[${s}]) {
    return vec4f(x${s}[(image * params.planes[${s}] + plane) * planeSize + cell]);
  }
  plane -= params.planes[${s}];
  //@end
  return vec4f(x${SEGMENTS - 1}[(image * params.planes[${SEGMENTS - 1}] + plane) * planeSize + cell]);
}

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let block = group.x % params.blocks;
  let phase = group.x / params.blocks;
  let tileX = group.y * ${PIXELS}u;
  let tileY = group.z % params.tilesY * ${ROWS}u;
  let image = group.z / params.tilesY;

  let channelGroup = thread / 8u % ${CHANNEL_GROUPS}u;
  let row = thread / ${8 * CHANNEL_GROUPS}u * 8u + thread % 8u;

  let firstGroup = u32(params.table[phase]);
  let groups = u32(params.table[phase + 1u]) - firstGroup;
  let offsets = params.outputStrideX * params.outputStrideY + 1u;
  let allGroups = u32(params.table[offsets - 1u]);
  let steps = groups * params.chunks;
  let lastX = i32(params.inputEnd);
  let lastY = i32(params.inputRows) - 1;

  //@for j in 0..PIXELS
  $each(k in 0..OUT_PLANES){ var sum${j}_${k} = vec4f(); }
  //@end
  for (var step = 0u; step <= steps; step++) {
    $each(i in 0..weightLoads){ var nextWeight${i} = vec4f(); }
    //@for i in 0..windowLoads
    $each(p in 0..PLANES){ var nextPixel${i}_${p} = vec4f(); }
    //@end
    if (step < steps) {
      let tapGroup = firstGroup + step % groups;
      let chunk = step / groups;
      let start = ((block * allGroups + tapGroup) * params.chunks + chunk) * ${weightSize}u;
      //@for i in 0..weightLoads
      nextWeight${i} = packed[start + min(thread + ${i * threads}u, ${weightSize - 1}u)];
      //@end
      let originY = i32(tileY * params.inputStrideY) + params.table[offsets + tapGroup * 2u];
      let originX = i32(tileX * params.inputStrideX) + params.table[offsets + tapGroup * 2u + 1u];
      //@for i in 0..windowLoads
      {
        let cell = thread + ${i * threads}u;
        let inputY = originY + i32(cell / ${windowW}u * params.inputStrideY);
        let inputX = originX + i32(cell % ${windowW}u * params.inputStrideX);
        let at = u32(clamp(inputY, 0, lastY)) * params.inputPitch + u32(clamp(inputX, 0, lastX));
        $each(p in 0..PLANES){ nextPixel${i}_${p} = inputAt(image, chunk * ${PLANES}u + ${p}u, at); }
      }
      //@end
    }

    if (step > 0u) {
      for (var tapRow = 0u; tapRow < ${PLANES * TAPS_Y}u; tapRow++) {
        let pixelRow = tapRow / ${TAPS_Y}u * ${windowH}u + row + tapRow % ${TAPS_Y}u;
        //@for j in 0..windowW
        let v${j} = pixels[pixelRow][${j}];
        //@end
        //@for t in 0..TAPS_X
        //@for c in 0..4
        {
          $each(k in 0..OUT_PLANES){ let w${k} = weights[tapRow][${t * 4 + c}][channelGroup][${k}]; }
          //@for j in 0..PIXELS
          $each(k in 0..OUT_PLANES){ sum${j}_${k} += v${j + t}.${lane(c)} * w${k}; }
          //@end
        }
        //@end
        //@end
      }
    }

    workgroupBarrier();
    //@for i in 0..weightLoads
    {
      let at = thread + ${i * threads}u;
      if (at < ${weightSize}u) {
        weights[at / ${TAPS_X * 4 * blockPlanes}u][at / ${blockPlanes}u % ${TAPS_X * 4}u][
          at / ${OUT_PLANES}u % ${CHANNEL_GROUPS}u][at % ${OUT_PLANES}u] = nextWeight${i};
      }
    }
    //@end
    //@for i in 0..windowLoads
    {
      let cell = thread + ${i * threads}u;
      if (cell < ${windowH * windowW}u) {
        $each(p in 0..PLANES){ pixels[cell / ${windowW}u + ${p * windowH}u][cell % ${windowW}u] = nextPixel${i}_${p}; }
      }
    }
    //@end
    workgroupBarrier();
  }

  let outputY = (tileY + row) * params.outputStrideY + phase / params.outputStrideX;
  let outputX = tileX * params.outputStrideX + phase % params.outputStrideX;
  if (outputY >= params.height) {
    return;
  }
  //@for k in 0..OUT_PLANES
  {
    let outputPlane = block * ${blockPlanes}u + channelGroup * ${OUT_PLANES}u + ${k}u;
    if (outputPlane < params.outputPlanes) {
      //@if EPILOGUE == 'bias'
      let offset = vec4f($list(c in 0..4){ biasOf(outputPlane * 4u + ${c}u) });
      //@end
      //@if EPILOGUE == 'affine'
      let scale = affine[outputPlane * 2u];
      let offset = affine[outputPlane * 2u + 1u];
      //@end
      //@let head = RELU ? 'max(' : ''
      //@let relu = RELU ? ', vec4f())' : ''
      //@let tail = EPILOGUE == 'none' ? '' : EPILOGUE == 'bias' ? ' + offset' : ' * scale + offset'
      let start = ((image * params.outputPlanes + outputPlane) * params.rows + outputY + 1u) *
        params.pitch + 1u;
      //@for j in 0..PIXELS
      if (outputX + ${j}u * params.outputStrideX < params.width) {
        y[start + outputX + ${j}u * params.outputStrideX] = ${IMAGE}(${head}sum${j}_${k}${tail}${relu});
      }
      //@end
    }
  }
  //@end
}
