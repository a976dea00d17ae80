// Factor and offset of each channel for a convolution whose results are normalised by running
// statistics.
//
// Formula   scale = weight / sqrt(variance + eps), offset = (convBias - mean) * scale + bias
// Layout    affine: scale, then offset, a vec4 each, for every block of four channels; zero past C.
//           The rest flat [C], read as vec4s
// Bindings  0 params, 1 weight, 2 bias, 3 mean, 4 variance, 5 affine, 6 convBias (HAS_BIAS only)
// Constants HAS_BIAS: 0 | 1, whether the convolution has a bias
// Grid      x over blocks of four channels in workgroups of 64
// Source    Ioffe and Szegedy, "Batch Normalization", 2015

struct Params {
  channels: u32,
  blocks: u32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read> mean: array<vec4f>;
@group(0) @binding(4) var<storage, read> variance: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> affine: array<vec4f>;
//@if HAS_BIAS
@group(0) @binding(6) var<storage, read> convBias: array<vec4f>;
//@end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let block = id.x;
  if (block >= params.blocks) {
    return;
  }
  let inside = block * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(params.channels);
  let scale = weight[block] / sqrt(variance[block] + params.eps);
  //@let center = HAS_BIAS ? '(convBias[block] - mean[block])' : '-mean[block]'
  let offset = ${center} * scale + bias[block];
  affine[block * 2u] = select(vec4f(), scale, inside);
  affine[block * 2u + 1u] = select(vec4f(), offset, inside);
}
