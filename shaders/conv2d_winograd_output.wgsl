// Transforms the products of conv2d_winograd_multiply back to pixels.
//
// Formula: Y = A^T M A + bias for every block of 4 x 4 pixels (Winograd's F(4x4,3x3), see
//   conv2d_winograd_input.wgsl). Row k of A^T: (0^k, a^k, (-a)^k, b^k, (-b)^k, 1 for the last k).
//   EPILOGUE affine: Y = A^T M A * scale + offset, then max(Y, 0) with RELU
// Layout
//   products  see conv2d_winograd_multiply.wgsl
//   output    c4 planes; only pixels of the image are written
// Bindings: 0 params, 1 products, 2 output, 3 bias [O] or affine as batch_norm2d_fold leaves it
// Constants: EPILOGUE none | bias | affine; RELU 0 | 1; POINT_A, POINT_B
// Grid: x over blocks in workgroups of 16, y over planes of an image.

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
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> products: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output: array<${IMAGE}>;
//@if EPILOGUE == 'bias'
@group(0) @binding(3) var<storage, read> bias: array<f32>;

fn biasOf(channel: u32, channels: u32) -> f32 {
  return select(0.0, bias[min(channel, channels - 1u)], channel < channels);
}
//@end
//@if EPILOGUE == 'affine'
@group(0) @binding(3) var<storage, read> affine: array<vec4<f32>>;
//@end

const a = ${POINT_A};
const b = ${POINT_B};

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  if (id.x >= params.blocks) {
    return;
  }
  let plane = id.y;
  let image = (params.firstBlock + id.x) / params.blocksPerImage;
  let blockOfImage = (params.firstBlock + id.x) % params.blocksPerImage;
  let x0 = blockOfImage % params.blocksX * 4u;
  let y0 = blockOfImage / params.blocksX * 4u;
  let first = plane * 36u * params.blocks + id.x;
  //@for x in 0..6
  $each(y in 0..6){ let m${y}_${x} = products[first + ${6 * y + x}u * params.blocks]; }
  let evenA${x} = m1_${x} + m2_${x};
  let oddA${x} = m1_${x} - m2_${x};
  let evenB${x} = m3_${x} + m4_${x};
  let oddB${x} = m3_${x} - m4_${x};
  let z0_${x} = m0_${x} + evenA${x} + evenB${x};
  let z1_${x} = a * oddA${x} + b * oddB${x};
  let z2_${x} = a * a * evenA${x} + b * b * evenB${x};
  let z3_${x} = a * a * a * oddA${x} + b * b * b * oddB${x} + m5_${x};
  //@end
  //@if EPILOGUE == 'bias'
  let offset = vec4<f32>($list(c in 0..4){ biasOf(plane * 4u + ${c}u, params.outputChannels) });
  //@end
  //@if EPILOGUE == 'affine'
  let scale = affine[plane * 2u];
  let offset = affine[plane * 2u + 1u];
  //@end
  //@let relu = RELU ? ', vec4<f32>())' : ''
  //@let head = EPILOGUE != 'affine' ? '' : RELU ? 'max((' : '('
  //@let tail = EPILOGUE == 'none' ? '' : EPILOGUE == 'bias' ? ' + offset' : ') * scale + offset'
  let at = ((image * params.outputPlanes + plane) * params.planeRows + y0 + 1u) * params.pitch + x0 + 1u;
  //@for y in 0..4
  if (y0 + ${y}u < params.height) {
    let evenA = z${y}_1 + z${y}_2;
    let oddA = z${y}_1 - z${y}_2;
    let evenB = z${y}_3 + z${y}_4;
    let oddB = z${y}_3 - z${y}_4;
    let row = at + ${y}u * params.pitch;
    output[row] = ${IMAGE}(${head}z${y}_0 + evenA + evenB${tail}${relu});
    if (x0 + 1u < params.width) {
      output[row + 1u] = ${IMAGE}(${head}a * oddA + b * oddB${tail}${relu});
    }
    if (x0 + 2u < params.width) {
      output[row + 2u] = ${IMAGE}(${head}a * a * evenA + b * b * evenB${tail}${relu});
    }
    if (x0 + 3u < params.width) {
      output[row + 3u] = ${IMAGE}(${head}a * a * a * oddA + b * b * b * oddB + z${y}_5${tail}${relu});
    }
  }
  //@end
}
