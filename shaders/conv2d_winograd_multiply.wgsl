// 3x3 convolution of transformed images and weights, stride 1, output as large as the input.
//
// Formula: Y = A^T (sum over input channels of U * V) A for every block Y of 4 x 4 pixels, where *
//   multiplies position by position (Winograd's F(4x4,3x3), see conv2d_winograd_input.wgsl): 36
//   multiplications where the convolution's definition has 144.
//
// An invocation takes BLOCKS blocks of 4*OUT_PLANES channels. Column by column of the 6 x 6
// positions it sums over the input's planes and at once adds what the sums contribute to the
// result, so that they never lie in memory.
//
// Layout
//   transformed  see conv2d_winograd_input.wgsl
//   weights      see conv2d_winograd_pack_weights.wgsl
//   output       c4 planes; only pixels of the image are written
// Bindings: 0 params, 1 transformed, 2 weights, 3 output, 4 bias [O] (with HAS_BIAS only)
// Constants: OUT_PLANES, BLOCKS, HAS_BIAS
// Grid: x over blocks of output channels, y over groups of 16 * BLOCKS blocks of pixels.

struct Params {
  /** Columns of A^T. */
  columns: array<vec4<f32>, 6>,
  width: u32,
  height: u32,
  planeRows: u32,
  pitch: u32,
  inputPlanes: u32,
  outputPlanes: u32,
  outputChannels: u32,
  blocksX: u32,
  blocksPerImage: u32,
  firstBlock: u32,
  blocks: u32,
  weightPitch: u32,
  blocksPerWeightColumn: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var transformed: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var weights: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var<storage, read_write> output: array<${IMAGE}>;
//@if HAS_BIAS
@group(0) @binding(4) var<storage, read> bias: array<f32>;

fn biasOf(channel: u32) -> f32 {
  return select(0.0, bias[min(channel, params.outputChannels - 1u)], channel < params.outputChannels);
}
//@end

@compute @workgroup_size(16)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let inputPlanes = params.inputPlanes;
  let weightX = group.x / params.blocksPerWeightColumn * params.weightPitch;
  var weightRow = group.x % params.blocksPerWeightColumn * 36u * inputPlanes;
  var row = group.y * 36u * inputPlanes;
  //@for b in 0..BLOCKS
  let x${b} = lane + ${16 * b}u;
  //@end
  //@for k in 0..OUT_PLANES
  //@for b in 0..BLOCKS
  $each(p in 0..4, q in 0..4){ var y${k}_${b}_${p}_${q} = vec4<f32>(); }
  //@end
  //@end
  for (var i = 0u; i < 6u; i++) {
    //@for k in 0..OUT_PLANES
    //@for b in 0..BLOCKS
    $each(q in 0..4){ var z${k}_${b}_${q} = vec4<f32>(); }
    //@end
    //@end
    for (var j = 0u; j < 6u; j++) {
      //@for k in 0..OUT_PLANES
      $each(b in 0..BLOCKS){ var sum${k}_${b} = vec4<f32>(); }
      //@end
      for (var plane = 0u; plane < inputPlanes; plane++) {
        //@for b in 0..BLOCKS
        let v${b} = textureLoad(transformed, vec2<u32>(x${b}, row));
        //@end
        // Neighbouring sums are interleaved so that each add has the others' time to complete.
        //@for k in 0..OUT_PLANES
        //@for c in 0..4
        let w${k}_${c} = textureLoad(weights, vec2<u32>(weightX + ${c * OUT_PLANES + k}u, weightRow));
        $each(b in 0..BLOCKS){ sum${k}_${b} += v${b}.${lane(c)} * w${k}_${c}; }
        //@end
        //@end
        row += 1u;
        weightRow += 1u;
      }
      let column = params.columns[j];
      //@for k in 0..OUT_PLANES
      //@for q in 0..4
      $each(b in 0..BLOCKS){ z${k}_${b}_${q} += column.${lane(q)} * sum${k}_${b}; }
      //@end
      //@end
    }
    let column = params.columns[i];
    //@for k in 0..OUT_PLANES
    //@for p in 0..4
    //@for q in 0..4
    $each(b in 0..BLOCKS){ y${k}_${b}_${p}_${q} += column.${lane(p)} * z${k}_${b}_${q}; }
    //@end
    //@end
    //@end
  }

  //@for k in 0..OUT_PLANES
  {
    let plane = group.x * ${OUT_PLANES}u + ${k}u;
    //@if HAS_BIAS
    let offset = vec4<f32>($list(c in 0..4){ biasOf(plane * 4u + ${c}u) });
    //@end
    if (plane < params.outputPlanes) {
      //@for b in 0..BLOCKS
      {
        let block = group.y * ${16 * BLOCKS}u + x${b};
        let image = (params.firstBlock + block) / params.blocksPerImage;
        let blockOfImage = (params.firstBlock + block) % params.blocksPerImage;
        let x0 = blockOfImage % params.blocksX * 4u;
        let y0 = blockOfImage / params.blocksX * 4u;
        let endX = select(0u, params.width, block < params.blocks);
        let at = ((image * params.outputPlanes + plane) * params.planeRows + y0 + 1u) * params.pitch +
          x0 + 1u;
        //@for p in 0..4
        if (y0 + ${p}u < params.height) {
          //@for q in 0..4
          if (x0 + ${q}u < endX) {
            output[at + ${p}u * params.pitch + ${q}u] = ${IMAGE}(y${k}_${b}_${p}_${q}${HAS_BIAS ? ' + offset' : ''});
          }
          //@end
        }
        //@end
      }
      //@end
    }
  }
  //@end
}
