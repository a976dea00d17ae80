/**
 * Optimizer steps as in `torch.optim`. Every step changes `param` and `state` in place; a state is
 * made once for a parameter and handed to each of its steps.
 * @module
 */

export interface SgdOptions {
  lr: number;
  /** Default 0; dampening is 0. */
  momentum?: number;
  /** Default false. */
  nesterov?: boolean;
  /** L2 penalty added to the gradient, default 0. */
  weightDecay?: number;
}

export interface SgdState {
  momentumBuffer: Float64Array;
}

export function sgdState(length: number): SgdState {
  return { momentumBuffer: new Float64Array(length) };
}

/** One step of stochastic gradient descent (Sutskever et al., 2013, in PyTorch's form). */
export function sgdStep(
  param: Float64Array,
  grad: Float64Array,
  state: SgdState,
  { lr, momentum = 0, nesterov = false, weightDecay = 0 }: SgdOptions,
): void {
  for (let i = 0; i < param.length; i++) {
    const g = grad[i]! + weightDecay * param[i]!;
    const velocity = momentum * state.momentumBuffer[i]! + g;
    state.momentumBuffer[i] = velocity;
    param[i]! -= lr * (nesterov ? g + momentum * velocity : velocity);
  }
}

export interface RmspropOptions {
  lr: number;
  /** Default 0.99. */
  alpha?: number;
  /** Added outside the square root, default 1e-8. */
  eps?: number;
  /** Default 0. */
  momentum?: number;
  /** L2 penalty added to the gradient, default 0. */
  weightDecay?: number;
}

export interface RmspropState {
  squareAverage: Float64Array;
  momentumBuffer: Float64Array;
}

export function rmspropState(length: number): RmspropState {
  return { squareAverage: new Float64Array(length), momentumBuffer: new Float64Array(length) };
}

/** One step of RMSprop (Hinton, lecture 6e, 2012; not centred). */
export function rmspropStep(
  param: Float64Array,
  grad: Float64Array,
  state: RmspropState,
  { lr, alpha = 0.99, eps = 1e-8, momentum = 0, weightDecay = 0 }: RmspropOptions,
): void {
  for (let i = 0; i < param.length; i++) {
    const g = grad[i]! + weightDecay * param[i]!;
    const square = alpha * state.squareAverage[i]! + (1 - alpha) * g * g;
    const velocity = momentum * state.momentumBuffer[i]! + g / (Math.sqrt(square) + eps);
    state.squareAverage[i] = square;
    state.momentumBuffer[i] = velocity;
    param[i]! -= lr * velocity;
  }
}

export interface AdamOptions {
  lr: number;
  /** Default [0.9, 0.999]. */
  betas?: readonly [number, number];
  /** Default 1e-8. */
  eps?: number;
  /** `adamStep`: L2 penalty, default 0. `adamwStep`: decoupled decay, default 0.01. */
  weightDecay?: number;
}

export interface AdamState {
  /** Steps taken. */
  step: number;
  average: Float64Array;
  squareAverage: Float64Array;
}

export function adamState(length: number): AdamState {
  return { step: 0, average: new Float64Array(length), squareAverage: new Float64Array(length) };
}

/** One step of Adam (Kingma and Ba, 2015), with bias correction. */
export function adamStep(
  param: Float64Array,
  grad: Float64Array,
  state: AdamState,
  { lr, betas: [beta1, beta2] = [0.9, 0.999], eps = 1e-8, weightDecay = 0 }: AdamOptions,
): void {
  state.step++;
  const correction1 = 1 - beta1 ** state.step;
  const correction2 = 1 - beta2 ** state.step;
  for (let i = 0; i < param.length; i++) {
    const g = grad[i]! + weightDecay * param[i]!;
    const average = beta1 * state.average[i]! + (1 - beta1) * g;
    const square = beta2 * state.squareAverage[i]! + (1 - beta2) * g * g;
    state.average[i] = average;
    state.squareAverage[i] = square;
    param[i]! -= lr * (average / correction1) / (Math.sqrt(square / correction2) + eps);
  }
}

/** One step of AdamW (Loshchilov and Hutter, 2019): the decay acts on the parameter first. */
export function adamwStep(
  param: Float64Array,
  grad: Float64Array,
  state: AdamState,
  options: AdamOptions,
): void {
  const { lr, weightDecay = 0.01 } = options;
  for (let i = 0; i < param.length; i++) param[i]! *= 1 - lr * weightDecay;
  adamStep(param, grad, state, { ...options, weightDecay: 0 });
}
