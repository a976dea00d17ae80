// Products of transformed images and weights, position by position.
//
// Formula: M[position] = sum over input channels of U[position] * V[position] for every block of
//   pixels (Winograd's F(4x4,3x3) or F(6x6,3x3), see conv2d_winograd_input.wgsl): 36 multiplications
//   for 16 pixels or 64 for 36, where the convolution's definition has 144 or 324.
//
// Layout
//   transformed  see conv2d_winograd_input.wgsl
//   weights      see conv2d_winograd_pack_weights.wgsl
//   products     in runs of RUN_BLOCKS blocks, so that what is read together lies together: vec4
//                ((plane*runs + block / RUN_BLOCKS)*positions + position)*RUN_BLOCKS
//                + block % RUN_BLOCKS holds four output channels
// Bindings: 0 params, 1 transformed, 2 weights, 3 products
// Constants: OUT_PLANES, BLOCKS of an invocation; PACKED, a multiple of OUT_PLANES: output planes whose
//   weights lie side by side; RUN_BLOCKS divides 16 * BLOCKS
// Grid: x over tiles of OUT_PLANES output planes, y over groups of 16 * BLOCKS blocks of pixels,
//   z over positions.

//@let tiles = PACKED / OUT_PLANES

struct Params {
  inputPlanes: u32,
  outputPlanes: u32,
  blocks: u32,
  weightPitch: u32,
  blocksPerWeightColumn: u32,
  positions: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var transformed: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var weights: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var<storage, read_write> products: array<vec4<f32>>;

@compute @workgroup_size(16)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let inputPlanes = params.inputPlanes;
  let position = group.z;
  let block = group.x / ${tiles}u;
  let weightX = block / params.blocksPerWeightColumn * params.weightPitch + group.x % ${tiles}u * ${OUT_PLANES}u;
  var weightRow = block % params.blocksPerWeightColumn * params.positions * inputPlanes + position;
  var row = (group.y * params.positions + position) * inputPlanes;
  $each(b in 0..BLOCKS){ let x${b} = lane + ${16 * b}u; }
  //@for k in 0..OUT_PLANES
  $each(b in 0..BLOCKS){ var sum${k}_${b} = vec4<f32>(); }
  //@end
  for (var plane = 0u; plane < inputPlanes; plane++) {
    $each(b in 0..BLOCKS){ let v${b} = textureLoad(transformed, vec2<u32>(x${b}, row)); }
    //@for k in 0..OUT_PLANES
    $each(c in 0..4){ let w${k}_${c} = textureLoad(weights, vec2<u32>(weightX + ${c * PACKED + k}u, weightRow)); }
    // Sums of four first: what is lost by rounding is halved, at no cost.
    $each(b in 0..BLOCKS){ sum${k}_${b} += (v${b}.x * w${k}_0 + v${b}.y * w${k}_1) + (v${b}.z * w${k}_2 + v${b}.w * w${k}_3); }
    //@end
    row += 1u;
    weightRow += params.positions;
  }
  let first = group.y * ${16 * BLOCKS}u;
  let runs = (params.blocks + ${RUN_BLOCKS - 1}u) / ${RUN_BLOCKS}u;
  $each(b in 0..BLOCKS){ let run${b} = (first + x${b}) / ${RUN_BLOCKS}u * params.positions * ${RUN_BLOCKS}u; }
  //@for k in 0..OUT_PLANES
  {
    let plane = group.x * ${OUT_PLANES}u + ${k}u;
    if (plane < params.outputPlanes) {
      let at = (plane * runs * params.positions + position) * ${RUN_BLOCKS}u;
      //@for b in 0..BLOCKS
      if (first + x${b} < params.blocks) {
        products[at + run${b} + (first + x${b}) % ${RUN_BLOCKS}u] = sum${k}_${b};
      }
      //@end
    }
  }
  //@end
}
