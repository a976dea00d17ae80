// Transforms convolution weights for conv2d_winograd_multiply.
//
// Formula: U = G g G^T of every 3 x 3 kernel g (Winograd's F(4x4,3x3) or F(6x6,3x3), see
//   conv2d_winograd_input.wgsl). Rows of G: (1, 0, 0) / Q(0), (1, +-p, p^2) / (2 p^2 R(p)) for every
//   point p, R(x) = Q(x) / (x^2 - p^2), and (0, 0, 1)
//   g[o][i][tap] = w[firstKernel + o*outputStride + i*inputStride][tap], or with isTurned [8 - tap]:
//   by that the same kernel packs for the input gradient
// Layout
//   weights  PyTorch's [O, I, 3, 3], flat: 3 x 3 kernels, one after the other
//   packed   rows of a texture, from those of block firstBlock of each column on, in columns of
//            4*PACKED texels; texel input lane*PACKED + output plane of column
//            block / blocksPerColumn, row
//            ((block % blocksPerColumn)*inputPlanes + input plane)*N*N + position, holds four output
//            channels. What an invocation writes lies together. Lanes that are no channel are zero.
//   Each of up to four concatenated inputs (segments) is padded to planes of 4 channels on its own.
// Bindings: 0 params, 1 weights, 2 packed
// Constants: PACKED: output planes whose weights lie side by side; SIDE, PAIRS = SIDE / 2, POINT_0,
//   POINT_1 and, with three pairs, POINT_2
// Grid: x over columns, a workgroup for the texels of a row; y over input planes of some blocks
//   of a column.

//@let pitch = 4 * PACKED
//@let N = SIDE + 2

struct Segment {
  firstPlane: u32,
  firstChannel: u32,
  channels: u32,
}

struct Params {
  outputChannels: u32,
  firstKernel: u32,
  outputStride: u32,
  inputStride: u32,
  isTurned: u32,
  inputPlanes: u32,
  blocks: u32,
  blocksPerColumn: u32,
  columns: u32,
  firstBlock: u32, // of every column
  segments: array<Segment, 4>,
}

@group(0) @binding(0) var<storage, read> params: Params;
//@input(1) weights: 'vec4f'
@group(0) @binding(2) var<storage, read_write> packed: array<vec4<f32>>;

const p0 = ${POINT_0};
const p1 = ${POINT_1};
const s0 = p0 * p0;
const s1 = p1 * p1;
//@if PAIRS == 2
const scale = 1.0 / (s0 * s1);
const scale0 = 1.0 / (2.0 * s0 * (s0 - s1));
const scale1 = 1.0 / (2.0 * s1 * (s1 - s0));
//@else
const p2 = ${POINT_2};
const s2 = p2 * p2;
const scale = -1.0 / (s0 * s1 * s2);
const scale0 = 1.0 / (2.0 * s0 * (s0 - s1) * (s0 - s2));
const scale1 = 1.0 / (2.0 * s1 * (s1 - s0) * (s1 - s2));
const scale2 = 1.0 / (2.0 * s2 * (s2 - s0) * (s2 - s1));
//@end

/** Nine of the weights, from `first` on: texels are four of them. */
fn kernelAt(first: u32) -> array<f32, 9> {
  let at = first / 4u;
  $each(v in 0..3){ let v${v} = weights_at(at + ${v}u); }
  let shift = first % 4u;
  return array<f32, 9>(
    //@for t in 0..9
    select(
      select(v${t / 4}.${lane(t % 4)}, v${(t + 1) / 4}.${lane((t + 1) % 4)}, shift == 1u),
      select(v${(t + 2) / 4}.${lane((t + 2) % 4)}, v${(t + 3) / 4}.${lane((t + 3) % 4)}, shift == 3u),
      shift >= 2u,
    ),
    //@end
  );
}

@compute @workgroup_size(${pitch})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let rowTexels = params.columns * ${pitch}u;
  let inputPlane = id.y % params.inputPlanes;
  let blockOfPiece = id.y / params.inputPlanes;
  let block = id.x / ${pitch}u * params.blocksPerColumn + params.firstBlock + blockOfPiece;
  let texel = id.x % ${pitch}u;
  let outputPlane = texel % ${PACKED}u;
  let inputLane = texel / ${PACKED}u;

  var segment = params.segments[0];
  //@for s in 1..4
  if (inputPlane >= params.segments[${s}].firstPlane) {
    segment = params.segments[${s}];
  }
  //@end
  let channel = (inputPlane - segment.firstPlane) * 4u + inputLane;
  let used = block < params.blocks && channel < segment.channels;
  let output = (block * ${PACKED}u + outputPlane) * 4u;
  let input = segment.firstChannel + channel;
  //@for t in 0..9
  var g${t} = vec4<f32>();
  //@end
  //@for c in 0..4
  if (used && output + ${c}u < params.outputChannels) {
    let at = params.firstKernel + (output + ${c}u) * params.outputStride + input * params.inputStride;
    let kernel = kernelAt(at * 9u);
    $each(t in 0..9){ g${t}.${lane(c)} = select(kernel[${t}], kernel[${8 - t}], params.isTurned == 1u); }
  }
  //@end
  // h${row}_${column}: G g
  //@for x in 0..3
  let h0_${x} = scale * g${x};
  let h${N - 1}_${x} = g${x + 6};
  //@for p in 0..PAIRS
  let even${p}_${x} = scale${p} * (g${x} + s${p} * g${x + 6});
  let odd${p}_${x} = scale${p} * p${p} * g${x + 3};
  let h${2 * p + 1}_${x} = even${p}_${x} + odd${p}_${x};
  let h${2 * p + 2}_${x} = even${p}_${x} - odd${p}_${x};
  //@end
  //@end
  let first = (blockOfPiece * params.inputPlanes + inputPlane) * ${N * N}u * rowTexels + id.x;
  //@for y in 0..N
  {
    let at = first + ${N * y}u * rowTexels;
    packed[at] = scale * h${y}_0;
    //@for p in 0..PAIRS
    let even${p} = scale${p} * (h${y}_0 + s${p} * h${y}_2);
    let odd${p} = scale${p} * p${p} * h${y}_1;
    packed[at + ${2 * p + 1}u * rowTexels] = even${p} + odd${p};
    packed[at + ${2 * p + 2}u * rowTexels] = even${p} - odd${p};
    //@end
    packed[at + ${N - 1}u * rowTexels] = h${y}_2;
  }
  //@end
}
