// One step of an optimizer on a window of the parameter arena.
//
// Formula   g is the gradient, times norm[1] (CLIP norm or SCALED), limited to [-clip, clip] (CLIP
//           value). SCALED: where norm[1] is 0, the gradients overflowed and nothing changes;
//           with weight decay d, momentum m and learning rate lr = state.x:
//   sgd     g += d p;  b = m b + g;  p -= lr (NESTEROV ? g + m b : b)
//   rmsprop g += d p;  s = alpha s + (1 - alpha) g^2;  u = g / (sqrt(s) + eps);
//           MOMENTUM: b = m b + u, p -= lr b; else p -= lr u
//   adam    g += d p;  a = beta1 a + (1 - beta1) g;  s = beta2 s + (1 - beta2) g^2;
//           p -= lr (a / state.y) / (sqrt(s / state.z) + eps)
//   adamw   p -= lr d p, then as adam without d
//           state.y and state.z are the bias corrections 1 - beta^step
// Layout    arenas of equal offsets, as vec4s; padding between arrays is 0 and stays 0
// Bindings  0 params, 1 parameters, 2 gradients, 3 state, then CLIP norm or SCALED: the norm and its
//           factor, then sgd and rmsprop with MOMENTUM: b; rmsprop: s; adam, adamw: a, s
// Constants RULE: sgd | rmsprop | adam | adamw; MOMENTUM, NESTEROV: 0 | 1; CLIP: none | value | norm;
//           SCALED: 0 | 1
// Grid      one invocation a vec4; x then y
// Source    torch.optim

struct Params {
  count: u32,  // vec4s
  stride: u32, // invocations in a grid row
  clip: f32,
  weightDecay: f32,
  momentum: f32,
  keepFirst: f32, // beta1
  addFirst: f32,  // 1 - beta1
  keepSecond: f32, // alpha or beta2
  addSecond: f32,  // 1 minus that, rounded once
  eps: f32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read_write> parameters: array<vec4f>;
//@input(2) gradients: 'vec4f'
//@input(3) state: 'vec4f'
//@if CLIP == 'norm' || SCALED
@group(0) @binding(4) var<storage, read> norm: array<f32>;
//@end
//@let next = 4 + (CLIP == 'norm' || SCALED)
//@if MOMENTUM
@group(0) @binding(${next}) var<storage, read_write> momentumBuffer: array<vec4f>;
//@end
//@if RULE == 'adam' || RULE == 'adamw'
@group(0) @binding(${next}) var<storage, read_write> average: array<vec4f>;
//@end
//@if RULE != 'sgd'
@group(0) @binding(${next + (MOMENTUM || RULE != 'rmsprop')}) var<storage, read_write> squares: array<vec4f>;
//@end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let i = id.y * params.stride + id.x;
  if (i >= params.count) {
    return;
  }
//@if SCALED
  if (norm[1] == 0f) {
    return;
  }
//@end
  var p = parameters[i];
  var g = gradients_at(i);
  let rates = state_at(0u);
//@if CLIP == 'norm' || SCALED
  g *= norm[1];
//@end
//@if CLIP == 'value'
  g = clamp(g, vec4f(-params.clip), vec4f(params.clip));
//@end
//@if RULE == 'adamw'
  p -= rates.x * params.weightDecay * p;
//@else
  g += params.weightDecay * p;
//@end

//@if RULE == 'sgd'
//@if MOMENTUM
  let b = params.momentum * momentumBuffer[i] + g;
  momentumBuffer[i] = b;
//@if NESTEROV
  p -= rates.x * (g + params.momentum * b);
//@else
  p -= rates.x * b;
//@end
//@else
  p -= rates.x * g;
//@end
//@end

//@if RULE == 'rmsprop'
  let s = params.keepSecond * squares[i] + params.addSecond * g * g;
  squares[i] = s;
  let u = g / (sqrt(s) + params.eps);
//@if MOMENTUM
  let b = params.momentum * momentumBuffer[i] + u;
  momentumBuffer[i] = b;
  p -= rates.x * b;
//@else
  p -= rates.x * u;
//@end
//@end

//@if RULE == 'adam' || RULE == 'adamw'
  let a = params.keepFirst * average[i] + params.addFirst * g;
  let s = params.keepSecond * squares[i] + params.addSecond * g * g;
  average[i] = a;
  squares[i] = s;
  p -= rates.x * (a / rates.y) / (sqrt(s / rates.z) + params.eps);
//@end
  parameters[i] = p;
}
