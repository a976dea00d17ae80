// Transforms images for conv2d_winograd_multiply and conv2d_winograd_weight_grad.
//
// Formula: V = B^T d B for every window d of N x N pixels, N = SIDE + 2, windows SIDE pixels apart
//   (Winograd's F(4x4,3x3) or F(6x6,3x3); Lavin and Gray, "Fast Algorithms for Convolutional Neural
//   Networks", 2016). The polynomials behind it are taken at 0, +-p for each of PAIRS points p, and
//   infinity. Rows of B^T are the coefficients of Q(x) = product of all x^2 - p^2 for 0, of
//   x (x +- p) Q(x) / (x^2 - p^2) for +-p, and of x Q(x) for infinity
// Layout
//   input        rows of planes of 4 channels with a border of one zero pixel, in bands as
//                src/graph/staging.ts says
//   transformed  rowBlocks blocks: texel block of row position*inputPlanes + plane; up to a multiple
//                of 16 the last block stands for those behind it. Rows of the texture that this is
//                copied to hold the blocks of a group that is multiplied together: texel
//                block % group of row ((block / group)*N*N + position)*inputPlanes + plane
// Bindings: 0 params, 1 input, 2 transformed; NORMALIZE: 3 weight, 4 bias, 5 mean, 6 spread
// Constants: NORMALIZE: 1 makes (x - mean) * spread * weight + bias of what it reads, 0 outside of the
//   image, and with PRE_RELU what is below 0; SIDE, PAIRS = SIDE / 2, POINT_0, POINT_1 and, with
//   three pairs, POINT_2; ROWS all, or half of the rows of V: outer for the first, the last
//   and those of the first point, inner for the others (64 vec4s at once leave the processor's caches
//   of code and registers)
// Grid: x over blocks in workgroups of 16, y over planes of an image.

//@let N = SIDE + 2
//@let firstPair = ROWS == 'inner' ? 1 : 0
//@let endPair = ROWS == 'outer' ? 1 : PAIRS

struct Params {
  imageRows: u32,
  pitch: u32,
  firstRow: u32, // of those that are staged, counted through all images
  bandRows: u32,
  inputPlanes: u32,
  width: u32,
  blocksX: u32,
  blocksPerImage: u32,
  firstBlock: u32,
  blocks: u32,
  rowBlocks: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var input: texture_storage_2d<${TEXEL}, read>;
@group(0) @binding(2) var<storage, read_write> transformed: array<vec4<f32>>;
//@if NORMALIZE
//@input(3) weight: 'vec4f'
//@input(4) bias: 'vec4f'
//@input(5) mean: 'vec4f'
//@input(6) spread: 'vec4f'
//@end

// q: coefficients of Q at even powers; r: those of Q(x) / (x^2 - p^2) for each point; s: squares
const p0 = ${POINT_0};
const p1 = ${POINT_1};
const s0 = p0 * p0;
const s1 = p1 * p1;
//@if PAIRS == 2
const q0 = s0 * s1;
const q1 = -s0 - s1;
const q2 = 1.0;
const r0_0 = -s1;
const r0_1 = 1.0;
const r1_0 = -s0;
const r1_1 = 1.0;
//@else
const p2 = ${POINT_2};
const s2 = p2 * p2;
const q0 = -s0 * s1 * s2;
const q1 = s0 * s1 + s0 * s2 + s1 * s2;
const q2 = -s0 - s1 - s2;
const q3 = 1.0;
const r0_0 = s1 * s2;
const r0_1 = -s1 - s2;
const r0_2 = 1.0;
const r1_0 = s0 * s2;
const r1_1 = -s0 - s2;
const r1_2 = 1.0;
const r2_0 = s0 * s1;
const r2_1 = -s0 - s1;
const r2_2 = 1.0;
//@end

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let block = min(id.x, params.blocks - 1u);
  let image = (params.firstBlock + block) / params.blocksPerImage;
  let blockOfImage = (params.firstBlock + block) % params.blocksPerImage;
  let blockX = blockOfImage % params.blocksX * ${SIDE}u;
  let blockY = blockOfImage / params.blocksX * ${SIDE}u;
  // Blocks may stick out: there they read the border again, which is zero.
  let firstRow = image * params.imageRows - params.firstRow;
  // Dividing whole numbers takes llvmpipe twenty times as long; this is exact below 2^20 rows.
  let perRow = 1.0 / f32(params.bandRows);
  //@for i in 0..N
  let x${i} = min(blockX + ${i}u, params.pitch - 1u);
  let row${i} = firstRow + min(blockY + ${i}u, params.imageRows - 1u);
  let band${i} = u32((f32(row${i}) + 0.5) * perRow);
  let left${i} = (row${i} - band${i} * params.bandRows) * params.pitch;
  let y${i} = band${i} * params.inputPlanes + id.y;
  //@end
  //@if NORMALIZE
  let center = mean_at(id.y);
  let scale = spread_at(id.y) * weight_at(id.y);
  let shift = bias_at(id.y);
  //@for i in 0..N
  let insideX${i} = blockX + ${i}u - 1u < params.width;
  let insideY${i} = blockY + ${i}u - 1u < params.imageRows - 2u;
  //@end
  //@end
  //@let raw = NORMALIZE ? 'raw' : 'd'
  //@let head = PRE_RELU ? 'max(' : ''
  //@let tail = PRE_RELU ? ', vec4<f32>())' : ''
  // t${row}_${column}: B^T d
  //@for x in 0..N
  $each(y in 0..N){ let ${raw}${y}_${x} = textureLoad(input, vec2<u32>(left${y} + x${x}, y${y})); }
  //@if NORMALIZE
  $each(y in 0..N){ let d${y}_${x} = select(vec4<f32>(), ${head}fma(raw${y}_${x} - center, scale, shift)${tail}, insideX${x} && insideY${y}); }
  //@end
  //@if ROWS != 'inner'
  let t0_${x} = $sum(k in 0..PAIRS + 1){q${k} * d${2 * k}_${x}};
  let t${N - 1}_${x} = $sum(k in 0..PAIRS + 1){q${k} * d${2 * k + 1}_${x}};
  //@end
  //@for p in firstPair..endPair
  let even${p}_${x} = $sum(k in 0..PAIRS){r${p}_${k} * d${2 * k + 2}_${x}};
  let odd${p}_${x} = p${p} * ($sum(k in 0..PAIRS){r${p}_${k} * d${2 * k + 1}_${x}});
  let t${2 * p + 1}_${x} = even${p}_${x} + odd${p}_${x};
  let t${2 * p + 2}_${x} = even${p}_${x} - odd${p}_${x};
  //@end
  //@end
  let step = params.inputPlanes * params.rowBlocks;
  let first = id.y * params.rowBlocks + id.x;
  //@for y in 0..N
  //@let pair = (y + 1) / 2 - 1
  //@if y == 0 || y == N - 1 ? ROWS != 'inner' : pair >= firstPair && pair < endPair
  {
    let at = first + ${N * y}u * step;
    transformed[at] = $sum(k in 0..PAIRS + 1){q${k} * t${y}_${2 * k}};
    //@for p in 0..PAIRS
    let even${p} = $sum(k in 0..PAIRS){r${p}_${k} * t${y}_${2 * k + 2}};
    let odd${p} = p${p} * ($sum(k in 0..PAIRS){r${p}_${k} * t${y}_${2 * k + 1}});
    transformed[at + ${2 * p + 1}u * step] = even${p} + odd${p};
    transformed[at + ${2 * p + 2}u * step] = even${p} - odd${p};
    //@end
    transformed[at + ${N - 1}u * step] = $sum(k in 0..PAIRS + 1){q${k} * t${y}_${2 * k + 1}};
  }
  //@end
  //@end
}
