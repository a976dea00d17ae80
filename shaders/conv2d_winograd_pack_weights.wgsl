// Transforms convolution weights for conv2d_winograd_multiply.
//
// Formula: U = G g G^T of every 3 x 3 kernel g (Winograd's F(4x4,3x3), see
//   conv2d_winograd_input.wgsl), where
//   the rows of G are (1, 0, 0) / (a*a*b*b), (1, +-a, a*a) / (2*a*a*(a*a - b*b)),
//   (1, +-b, b*b) / (2*b*b*(b*b - a*a)), (0, 0, 1)
//   forward    g[o][i][tap] = w[o][i][tap]
//   TRANSPOSED g[o][i][tap] = w[i][firstOutput + o][8 - tap]   (for the input gradient)
// Layout
//   weights  PyTorch's [O, I, 3, 3], flat
//   packed   the image of a texture in columns of 4*OUT_PLANES texels; texel
//            input lane*OUT_PLANES + output plane of column block / blocksPerColumn, row
//            ((block % blocksPerColumn)*36 + position)*inputPlanes + input plane, holds four output
//            channels. Lanes that are no channel are zero.
//   Each of up to four concatenated inputs (segments) is padded to planes of 4 channels on its own.
// Bindings: 0 params, 1 weights, 2 packed
// Constants: OUT_PLANES, TRANSPOSED, POINT_A, POINT_B
// Grid: x over columns, a workgroup for the texels of a row; y over input planes of blocks of a
//   column.

//@let pitch = 4 * OUT_PLANES

struct Segment {
  firstPlane: u32,
  firstChannel: u32,
  channels: u32,
}

struct Params {
  outputChannels: u32,
  firstOutput: u32,
  rowChannels: u32,
  inputPlanes: u32,
  blocks: u32,
  blocksPerColumn: u32,
  columns: u32,
  segments: array<Segment, 4>,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> packed: array<vec4<f32>>;

const a = ${POINT_A};
const b = ${POINT_B};
const scale0 = 1.0 / (a * a * b * b);
const scaleA = 1.0 / (2.0 * a * a * (a * a - b * b));
const scaleB = 1.0 / (2.0 * b * b * (b * b - a * a));

@compute @workgroup_size(${pitch})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let rowTexels = params.columns * ${pitch}u;
  let inputPlane = id.y % params.inputPlanes;
  let blockOfColumn = id.y / params.inputPlanes;
  let block = id.x / ${pitch}u * params.blocksPerColumn + blockOfColumn;
  let texel = id.x % ${pitch}u;
  let outputPlane = texel % ${OUT_PLANES}u;
  let inputLane = texel / ${OUT_PLANES}u;

  var segment = params.segments[0];
  //@for s in 1..4
  if (inputPlane >= params.segments[${s}].firstPlane) {
    segment = params.segments[${s}];
  }
  //@end
  let channel = (inputPlane - segment.firstPlane) * 4u + inputLane;
  let used = block < params.blocks && channel < segment.channels;
  let output = (block * ${OUT_PLANES}u + outputPlane) * 4u;
  let input = segment.firstChannel + channel;
  //@for t in 0..9
  var g${t} = vec4<f32>();
  //@end
  //@for c in 0..4
  if (used && output + ${c}u < params.outputChannels) {
    //@if TRANSPOSED
    let at = (input * params.rowChannels + params.firstOutput + output + ${c}u) * 9u;
    $each(t in 0..9){ g${t}.${lane(c)} = weights[at + ${8 - t}u]; }
    //@else
    let at = ((output + ${c}u) * params.rowChannels + input) * 9u;
    $each(t in 0..9){ g${t}.${lane(c)} = weights[at + ${t}u]; }
    //@end
  }
  //@end
  //@for x in 0..3
  //@let y = x + 3
  //@let z = x + 6
  let evenA${x} = g${x} + a * a * g${z};
  let evenB${x} = g${x} + b * b * g${z};
  let h0_${x} = scale0 * g${x};
  let h1_${x} = scaleA * (evenA${x} + a * g${y});
  let h2_${x} = scaleA * (evenA${x} - a * g${y});
  let h3_${x} = scaleB * (evenB${x} + b * g${y});
  let h4_${x} = scaleB * (evenB${x} - b * g${y});
  let h5_${x} = g${z};
  //@end
  let step = params.inputPlanes * rowTexels;
  let first = (blockOfColumn * 36u * params.inputPlanes + inputPlane) * rowTexels + id.x;
  //@for y in 0..6
  {
    let at = first + ${6 * y}u * step;
    let evenA = h${y}_0 + a * a * h${y}_2;
    let evenB = h${y}_0 + b * b * h${y}_2;
    packed[at] = scale0 * h${y}_0;
    packed[at + step] = scaleA * (evenA + a * h${y}_1);
    packed[at + 2u * step] = scaleA * (evenA - a * h${y}_1);
    packed[at + 3u * step] = scaleB * (evenB + b * h${y}_1);
    packed[at + 4u * step] = scaleB * (evenB - b * h${y}_1);
    packed[at + 5u * step] = h${y}_2;
  }
  //@end
}
