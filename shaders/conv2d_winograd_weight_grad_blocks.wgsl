// Transforms blocks of an input for conv2d_winograd_weight_grad.
//
// Formula: Z = A x A^T for every block x of SIDE x SIDE pixels, A being that of Winograd's algorithms,
//   see conv2d_winograd_output.wgsl: the values of polynomials with the pixels as coefficients at 0,
//   +-p for each of PAIRS points p, and infinity, along both axes
// Layout
//   input   c4 planes of an input, border and padding are zero; STAGED rows of them in a texture, in
//           bands as src/graph/staging.ts says
//   blocks  as conv2d_winograd_input leaves them, with the planes of all inputs; blocks behind the
//           last, up to a multiple of 16, become zero
// Bindings: 0 params, 1 input, 2 blocks; NORMALIZE: 3 weight, 4 bias, 5 mean, 6 spread
// Constants: STAGED: 0 | 1; NORMALIZE, PRE_RELU, SIDE, PAIRS = SIDE / 2, POINT_0, POINT_1
//   and, with three pairs, POINT_2; ROWS all | outer | inner: see conv2d_winograd_input.wgsl
// Grid: x over blocks in workgroups of 16, y over planes of an image of the input.

//@let N = SIDE + 2
//@let firstPair = ROWS == 'inner' ? 1 : 0
//@let endPair = ROWS == 'outer' ? 1 : PAIRS

struct Params {
  imageRows: u32,
  pitch: u32,
  firstRow: u32, // of those that are staged, counted through all images
  bandRows: u32,
  planes: u32,
  width: u32,
  firstPlane: u32,
  allPlanes: u32,
  blocksX: u32,
  blocksPerImage: u32,
  firstBlock: u32,
  blocks: u32,
  rowBlocks: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
//@if STAGED
@group(0) @binding(1) var input: texture_storage_2d<${TEXEL}, read>;
//@else
@group(0) @binding(1) var<storage, read> input: array<${IMAGE}>;
//@end
@group(0) @binding(2) var<storage, read_write> blocks: array<vec4<f32>>;
//@if NORMALIZE
//@input(3) weight: 'vec4f'
//@input(4) bias: 'vec4f'
//@input(5) mean: 'vec4f'
//@input(6) spread: 'vec4f'
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
  let block = params.firstBlock + min(id.x, params.blocks - 1u);
  let image = block / params.blocksPerImage;
  let blockOfImage = block % params.blocksPerImage;
  let column = blockOfImage % params.blocksX * ${SIDE}u + 1u;
  let row = blockOfImage / params.blocksX * ${SIDE}u + 1u;
  // Column 0 is zero, and so is what sticks out: it reads the border again.
  let used = id.x < params.blocks;
  $each(k in 0..SIDE){ let x${k} = select(0u, min(column + ${k}u, params.pitch - 1u), used); }
  //@if STAGED
  let firstRow = image * params.imageRows - params.firstRow;
  // Dividing whole numbers takes llvmpipe twenty times as long; this is exact below 2^20 rows.
  let perRow = 1.0 / f32(params.bandRows);
  //@for k in 0..SIDE
  let row${k} = firstRow + min(row + ${k}u, params.imageRows - 1u);
  let band${k} = u32((f32(row${k}) + 0.5) * perRow);
  let left${k} = (row${k} - band${k} * params.bandRows) * params.pitch;
  let y${k} = band${k} * params.planes + id.y;
  //@end
  //@else
  let plane = (image * params.planes + id.y) * params.imageRows;
  $each(k in 0..SIDE){ let y${k} = (plane + min(row + ${k}u, params.imageRows - 1u)) * params.pitch; }
  //@end
  //@if NORMALIZE
  let center = mean_at(id.y);
  let scale = spread_at(id.y) * weight_at(id.y);
  let shift = bias_at(id.y);
  //@for k in 0..SIDE
  let insideX${k} = used && column + ${k}u - 1u < params.width;
  let insideY${k} = row + ${k}u - 1u < params.imageRows - 2u;
  //@end
  //@end
  //@let raw = NORMALIZE ? 'raw' : 'd'
  //@let head = PRE_RELU ? 'max(' : ''
  //@let tail = PRE_RELU ? ', vec4<f32>())' : ''
  // t${row}_${column}: A x
  //@for x in 0..SIDE
  //@if STAGED
  $each(y in 0..SIDE){ let ${raw}${y}_${x} = textureLoad(input, vec2<u32>(left${y} + x${x}, y${y})); }
  //@else
  $each(y in 0..SIDE){ let ${raw}${y}_${x} = vec4<f32>(input[y${y} + x${x}]); }
  //@end
  //@if NORMALIZE
  $each(y in 0..SIDE){ let d${y}_${x} = select(vec4<f32>(), ${head}fma(raw${y}_${x} - center, scale, shift)${tail}, insideX${x} && insideY${y}); }
  //@end
  //@if ROWS != 'inner'
  let t0_${x} = d0_${x};
  let t${N - 1}_${x} = d${SIDE - 1}_${x};
  //@end
  //@for p in firstPair..endPair
  let even${p}_${x} = $sum(k in 0..PAIRS){p${p}_${2 * k} * d${2 * k}_${x}};
  let odd${p}_${x} = $sum(k in 0..PAIRS){p${p}_${2 * k + 1} * d${2 * k + 1}_${x}};
  let t${2 * p + 1}_${x} = even${p}_${x} + odd${p}_${x};
  let t${2 * p + 2}_${x} = even${p}_${x} - odd${p}_${x};
  //@end
  //@end
  let step = params.allPlanes * params.rowBlocks;
  let first = (params.firstPlane + id.y) * params.rowBlocks + id.x;
  //@for y in 0..N
  //@let pair = (y + 1) / 2 - 1
  //@if y == 0 || y == N - 1 ? ROWS != 'inner' : pair >= firstPair && pair < endPair
  {
    let at = first + ${N * y}u * step;
    blocks[at] = t${y}_0;
    //@for p in 0..PAIRS
    let even${p} = $sum(k in 0..PAIRS){p${p}_${2 * k} * t${y}_${2 * k}};
    let odd${p} = $sum(k in 0..PAIRS){p${p}_${2 * k + 1} * t${y}_${2 * k + 1}};
    blocks[at + ${2 * p + 1}u * step] = even${p} + odd${p};
    blocks[at + ${2 * p + 2}u * step] = even${p} - odd${p};
    //@end
    blocks[at + ${N - 1}u * step] = t${y}_${SIDE - 1};
  }
  //@end
  //@end
}
