// Products of transformed images and weights of few input channels, position by position.
//
// Formula: see conv2d_winograd_multiply.wgsl, whose results these are to the bit. There weights are
//   read in a loop over channels, for several blocks at once; here those of all channels are read
//   before a loop over blocks. It keeps no sums from pass to pass, reads but one texel a plane, and
//   its code fits the instruction cache: for software adapters it is that which counts.
//
// Layout
//   transformed  see conv2d_winograd_input.wgsl
//   weights      see conv2d_winograd_pack_weights.wgsl, in blocks of PACKED planes
//   products     see conv2d_winograd_multiply.wgsl
// Bindings: 0 params, 1 transformed, 2 weights, 3 products
// Constants: IN_PLANES, all of them; OUT_PLANES of an invocation, divides PACKED; LANES: invocations
//   of a workgroup, as many as the processor's vectors have lanes; GROUP: blocks of a row of
//   `transformed`; RUN_BLOCKS: of a run of `products`
// Grid: x over tiles of OUT_PLANES output planes, y over positions.

//@let tiles = PACKED / OUT_PLANES

struct Params {
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

@compute @workgroup_size(${LANES})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let position = group.y;
  let block = group.x / ${tiles}u;
  let weightX = block / params.blocksPerWeightColumn * params.weightPitch + group.x % ${tiles}u * ${OUT_PLANES}u;
  let weightRow = block % params.blocksPerWeightColumn * params.positions * ${IN_PLANES}u + position;
  // w${output plane}_${input lane}_${input plane}, four output channels a vec4
  //@for p in 0..IN_PLANES
  $each(k in 0..OUT_PLANES, c in 0..4){ let w${k}_${c}_${p} = textureLoad(weights, vec2<u32>(weightX + ${c * PACKED + k}u, weightRow + ${p}u * params.positions)); }
  //@end
  let plane = group.x * ${OUT_PLANES}u;
  let runs = (params.blocks + ${RUN_BLOCKS - 1}u) / ${RUN_BLOCKS}u;
  let step = runs * params.positions * ${RUN_BLOCKS}u;
  let first = plane * step + position * ${RUN_BLOCKS}u;
  for (var x = lane; x < params.blocks; x += ${LANES}u) {
    let row = (x / ${GROUP}u * params.positions + position) * ${IN_PLANES}u;
    let column = x % ${GROUP}u;
    let at = first + x / ${RUN_BLOCKS}u * params.positions * ${RUN_BLOCKS}u + x % ${RUN_BLOCKS}u;
    $each(k in 0..OUT_PLANES){ var sum${k} = vec4<f32>(); }
    let v0 = textureLoad(transformed, vec2<u32>(column, row));
    //@for p in 0..IN_PLANES
    // One plane ahead, which helps where two output planes are all that an invocation has.
    //@if p + 1 < IN_PLANES
    let v${p + 1} = textureLoad(transformed, vec2<u32>(column, row + ${p + 1}u));
    //@end
    // Sums of four first: what is lost by rounding is halved, at no cost.
    $each(k in 0..OUT_PLANES){ sum${k} += (v${p}.x * w${k}_0_${p} + v${p}.y * w${k}_1_${p}) + (v${p}.z * w${k}_2_${p} + v${p}.w * w${k}_3_${p}); }
    //@end
    //@for k in 0..OUT_PLANES
    if (plane + ${k}u < params.outputPlanes) {
      products[at + ${k}u * step] = sum${k};
    }
    //@end
  }
}
