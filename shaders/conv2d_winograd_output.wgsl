// Transforms the products of conv2d_winograd_multiply back to pixels.
//
// Formula: Y = A^T M A + bias for every block of SIDE x SIDE pixels (Winograd's F(4x4,3x3) or
//   F(6x6,3x3), see conv2d_winograd_input.wgsl). Row k of A^T: (0^k, p^k and (-p)^k for every point p,
//   1 for the last k). EPILOGUE affine: Y = A^T M A * scale + offset, then max(Y, 0) with RELU
// Layout
//   products  see conv2d_winograd_multiply.wgsl
//   output    c4 planes, of a single image maybe only some, from firstPlane on; only pixels of the
//             image are written
// Bindings: 0 params, 1 products, 2 output, 3 bias [O] or affine as batch_norm2d_fold leaves it
// Constants: EPILOGUE none | bias | affine; RELU 0 | 1; RUN_BLOCKS of products; SIDE, PAIRS = SIDE / 2,
//   POINT_0, POINT_1 and, with three pairs, POINT_2
// Grid: x over blocks in workgroups of 16, y over planes of an image, those from firstPlane on.

//@let N = SIDE + 2

struct Params {
  width: u32,
  height: u32,
  planeRows: u32,
  pitch: u32,
  outputPlanes: u32,
  outputChannels: u32,
  blocksX: u32,
  blocksPerImage: u32,
  firstBlock: u32,
  blocks: u32,
  firstPlane: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
//@input(1) products: 'vec4f'
@group(0) @binding(2) var<storage, read_write> output: array<${IMAGE}>;
//@if EPILOGUE != 'none'
//@input(3) epilogue: 'vec4f'
//@end

// Powers of the points
//@for p in 0..PAIRS
const p${p}_0 = 1.0;
//@end
const p0_1 = ${POINT_0};
const p1_1 = ${POINT_1};
//@if PAIRS == 3
const p2_1 = ${POINT_2};
//@end
//@for p in 0..PAIRS
//@for k in 1..SIDE - 1
const p${p}_${k + 1} = p${p}_${k} * p${p}_1;
//@end
//@end

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  if (id.x >= params.blocks) {
    return;
  }
  let plane = params.firstPlane + id.y;
  let image = (params.firstBlock + id.x) / params.blocksPerImage;
  let blockOfImage = (params.firstBlock + id.x) % params.blocksPerImage;
  let x0 = blockOfImage % params.blocksX * ${SIDE}u;
  let y0 = blockOfImage / params.blocksX * ${SIDE}u;
  let runs = (params.blocks + ${RUN_BLOCKS - 1}u) / ${RUN_BLOCKS}u;
  let first = (plane * runs + id.x / ${RUN_BLOCKS}u) * ${N * N * RUN_BLOCKS}u + id.x % ${RUN_BLOCKS}u;
  // z${row}_${column}: A^T M
  //@for x in 0..N
  $each(y in 0..N){ let m${y}_${x} = products_at(first + ${(N * y + x) * RUN_BLOCKS}u); }
  //@for p in 0..PAIRS
  let even${p}_${x} = m${2 * p + 1}_${x} + m${2 * p + 2}_${x};
  let odd${p}_${x} = m${2 * p + 1}_${x} - m${2 * p + 2}_${x};
  //@end
  let z0_${x} = m0_${x} + $sum(p in 0..PAIRS){even${p}_${x}};
  //@for k in 1..SIDE - 1
  let z${k}_${x} = $sum(p in 0..PAIRS){p${p}_${k} * ${k % 2 == 0 ? 'even' : 'odd'}${p}_${x}};
  //@end
  let z${SIDE - 1}_${x} = m${N - 1}_${x} + $sum(p in 0..PAIRS){p${p}_${SIDE - 1} * odd${p}_${x}};
  //@end
  //@if EPILOGUE == 'bias'
  let channel = plane * 4u + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.outputChannels);
  let offset = select(vec4<f32>(), epilogue_at(plane), channel);
  //@end
  //@if EPILOGUE == 'affine'
  let scale = epilogue_at(plane * 2u);
  let offset = epilogue_at(plane * 2u + 1u);
  //@end
  //@let relu = RELU ? ', vec4<f32>())' : ''
  //@let head = EPILOGUE != 'affine' ? '' : RELU ? 'max((' : '('
  //@let tail = EPILOGUE == 'none' ? '' : EPILOGUE == 'bias' ? ' + offset' : ') * scale + offset'
  let at = ((image * params.outputPlanes + id.y) * params.planeRows + y0 + 1u) * params.pitch + x0 + 1u;
  //@for y in 0..SIDE
  if (y0 + ${y}u < params.height) {
    //@for p in 0..PAIRS
    let even${p} = z${y}_${2 * p + 1} + z${y}_${2 * p + 2};
    let odd${p} = z${y}_${2 * p + 1} - z${y}_${2 * p + 2};
    //@end
    let value0 = z${y}_0 + $sum(p in 0..PAIRS){even${p}};
    //@for k in 1..SIDE - 1
    let value${k} = $sum(p in 0..PAIRS){p${p}_${k} * ${k % 2 == 0 ? 'even' : 'odd'}${p}};
    //@end
    let value${SIDE - 1} = z${y}_${N - 1} + $sum(p in 0..PAIRS){p${p}_${SIDE - 1} * odd${p}};
    let row = at + ${y}u * params.pitch;
    //@for k in 0..SIDE
    if (x0 + ${k}u < params.width) {
      output[row + ${k}u] = ${IMAGE}(${head}value${k}${tail}${relu});
    }
    //@end
  }
  //@end
}
