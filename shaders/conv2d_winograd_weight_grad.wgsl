// Sums of products of transformed gradients and inputs, position by position.
//
// Formula: S[position][o][i] = sum over blocks of V[position][o] * Z[position][i], V the transformed
//   windows of the output's gradient, Z the transformed blocks of the input. Sums are made of sums: of
//   RUN blocks, of a group, of all
//
// Lanes of a workgroup differ in channels. Where these are too few for all lanes, two or four lanes
// share the blocks of a group and keep sums of their own: no lane adds to another's.
//
// Layout
//   gradient  V, see conv2d_winograd_input.wgsl
//   input     Z, see conv2d_winograd_weight_grad_blocks.wgsl; zero behind the last block, where the
//             passes of all shares, of RUN blocks each, may end
//   sums      [strip of groups of blocks][share of a group][position][input channel][output plane],
//             four output channels a vec4
// Bindings: 0 params, 1 gradient, 2 input, 3 sums; COPIED: 4 before, a copy of the sums
// Constants: COPIED: 0 | 1, reads what is added to from the copy; OUT_PLANES, IN_PLANES of an
//   invocation; RUN: blocks of a pass; those of all shares divide 16
// Grid: x = input groups fastest, then output groups; y over strips, z over positions.

struct Params {
  gradientPlanes: u32,
  inputPlanes: u32,
  lanesIn: u32,
  lanesOut: u32,
  inputGroups: u32,
  blocks: u32,
  groupsPerStrip: u32,
  isAdded: u32, // 1 adds to the sums of earlier blocks
  positions: u32,
  groupBlocks: u32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var gradient: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var input: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var<storage, read_write> sums: array<vec4<f32>>;
//@if COPIED
//@input(4) before: 'vec4f'
//@end

@compute @workgroup_size(16)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let lanesOut = params.lanesOut;
  let shares = 16u / (params.lanesIn * lanesOut);
  let share = lane / (params.lanesIn * lanesOut);
  let output = (group.x / params.inputGroups * lanesOut + lane / params.lanesIn % lanesOut) * ${OUT_PLANES}u;
  let plane = (group.x % params.inputGroups * params.lanesIn + lane % params.lanesIn) * ${IN_PLANES}u;
  // Lanes without channels compute the last ones again.
  $each(q in 0..OUT_PLANES){ let output${q} = min(output + ${q}u, params.gradientPlanes - 1u); }
  $each(r in 0..IN_PLANES){ let plane${r} = min(plane + ${r}u, params.inputPlanes - 1u); }

  // total${output plane}_${input plane}_${input lane}, four output channels a vec4
  //@for q in 0..OUT_PLANES
  $each(r in 0..IN_PLANES, c in 0..4){ var total${q}_${r}_${c} = vec4<f32>(); }
  //@end
  let firstGroup = group.y * params.groupsPerStrip;
  let endGroup = min(firstGroup + params.groupsPerStrip, (params.blocks + params.groupBlocks - 1u) / params.groupBlocks);
  for (var g = firstGroup; g < endGroup; g++) {
    let gradientRow = (g * params.positions + group.z) * params.gradientPlanes;
    let inputRow = (g * params.positions + group.z) * params.inputPlanes;
    //@for q in 0..OUT_PLANES
    $each(r in 0..IN_PLANES, c in 0..4){ var sum${q}_${r}_${c} = vec4<f32>(); }
    //@end
    let end = min(params.groupBlocks, params.blocks - g * params.groupBlocks);
    for (var x = share * ${RUN}u; x < share * ${RUN}u + end; x += ${RUN}u * shares) {
      //@for n in 0..RUN
      $each(q in 0..OUT_PLANES){ let v${n}_${q} = textureLoad(gradient, vec2<u32>(x + ${n}u, gradientRow + output${q})); }
      $each(r in 0..IN_PLANES){ let z${n}_${r} = textureLoad(input, vec2<u32>(x + ${n}u, inputRow + plane${r})); }
      //@end
      //@for r in 0..IN_PLANES
      //@for q in 0..OUT_PLANES
      $each(c in 0..4){ sum${q}_${r}_${c} += $sum(n in 0..RUN){v${n}_${q} * z${n}_${r}.${lane(c)}}; }
      //@end
      //@end
    }
    //@for q in 0..OUT_PLANES
    $each(r in 0..IN_PLANES, c in 0..4){ total${q}_${r}_${c} += sum${q}_${r}_${c}; }
    //@end
  }

  let strip = group.y * shares + share;
  let first = (strip * params.positions + group.z) * params.inputPlanes * 4u;
  //@for r in 0..IN_PLANES
  let at${r} = (first + plane${r} * 4u) * params.gradientPlanes;
  //@end
  if (params.isAdded != 0u) {
    //@for q in 0..OUT_PLANES
    $each(r in 0..IN_PLANES, c in 0..4){ total${q}_${r}_${c} += ${COPIED ? 'before_at(' : 'sums['}at${r} + ${c}u * params.gradientPlanes + output${q}${COPIED ? ')' : ']'}; }
    //@end
  }
  //@for q in 0..OUT_PLANES
  //@for r in 0..IN_PLANES
  if (output + ${q}u < params.gradientPlanes && plane + ${r}u < params.inputPlanes) {
    $each(c in 0..4){ sums[at${r} + ${c}u * params.gradientPlanes + output${q}] = total${q}_${r}_${c}; }
  }
  //@end
  //@end
}
