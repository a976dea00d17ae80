/**
 * The integer expressions of shader templates: see {@linkcode expandTemplate} for what they may say.
 * @module
 */

/** A template constant: an integer, or text to insert verbatim. */
export type TemplateValue = number | string;

/** A template that cannot be expanded; the message names its line. */
export class TemplateError extends Error {
  override readonly name = "TemplateError";
}

/** The names an expression may use. */
export type Scope = ReadonlyMap<string, TemplateValue>;

/** A parsed expression; it is evaluated once per repetition. */
export type Expression = (scope: Scope) => TemplateValue;

/** `variable in from..to`, without the end. */
export interface Range {
  readonly variable: string;
  readonly from: Expression;
  readonly to: Expression;
}

const TOKEN = /\s*(\d+|[A-Za-z_]\w*|'[^']*'|\.\.|&&|\|\||[=!<>]=|[-+*/%<>!?:(),=])/y;
const LEVELS: readonly (readonly string[])[] = [
  ["||"],
  ["&&"],
  ["==", "!="],
  ["<", "<=", ">", ">="],
  ["+", "-"],
  ["*", "/", "%"],
];

/** The value as an integer, or an error that says what needed one. */
export function integer(value: TemplateValue, what: string): number {
  if (typeof value === "number" && Number.isSafeInteger(value)) return value;
  throw new TemplateError(`${what} needs an integer, found \`${value}\``);
}

function binary(operator: string, a: TemplateValue, b: TemplateValue): number {
  if (operator === "==") return a === b ? 1 : 0;
  if (operator === "!=") return a !== b ? 1 : 0;
  const x = integer(a, `\`${operator}\``);
  const y = integer(b, `\`${operator}\``);
  if ((operator === "/" || operator === "%") && y === 0) {
    throw new TemplateError(`\`${x} ${operator} 0\` has no value`);
  }
  switch (operator) {
    case "+":
      return x + y;
    case "-":
      return x - y;
    case "*":
      return x * y;
    case "/":
      return Math.floor(x / y);
    case "%":
      return x - Math.floor(x / y) * y;
    case "<":
      return x < y ? 1 : 0;
    case "<=":
      return x <= y ? 1 : 0;
    case ">":
      return x > y ? 1 : 0;
    default:
      return x >= y ? 1 : 0;
  }
}

/** Whether a value counts as true: all but 0 and the empty text. */
export const truthy = (value: TemplateValue): boolean => value !== 0 && value !== "";

/** Recursive descent over one expression text. */
export class Parser {
  readonly #source: string;
  readonly #tokens: string[] = [];
  #next = 0;

  constructor(source: string) {
    this.#source = source.trim();
    TOKEN.lastIndex = 0;
    let at = 0;
    while (at < this.#source.length) {
      TOKEN.lastIndex = at;
      const match = TOKEN.exec(this.#source);
      if (!match) throw new TemplateError(`cannot read \`${this.#source.slice(at)}\``);
      this.#tokens.push(match[1] ?? "");
      at = TOKEN.lastIndex;
    }
  }

  take(token: string): boolean {
    if (this.#tokens[this.#next] !== token) return false;
    this.#next++;
    return true;
  }

  expect(token: string): void {
    if (this.take(token)) return;
    const found = this.#tokens[this.#next];
    throw new TemplateError(
      `expected \`${token}\` but found ${
        found ? `\`${found}\`` : "the end"
      } in \`${this.#source}\``,
    );
  }

  identifier(): string {
    const token = this.#tokens[this.#next++];
    if (token && /^[A-Za-z_]/.test(token)) return token;
    throw new TemplateError(`expected a name in \`${this.#source}\``);
  }

  end(): void {
    const token = this.#tokens[this.#next];
    if (token !== undefined) {
      throw new TemplateError(`unexpected \`${token}\` in \`${this.#source}\``);
    }
  }

  range(): Range {
    const variable = this.identifier();
    this.expect("in");
    const from = this.expression();
    this.expect("..");
    return { variable, from, to: this.expression() };
  }

  expression(): Expression {
    const test = this.#binary(0);
    if (!this.take("?")) return test;
    const then = this.expression();
    this.expect(":");
    const otherwise = this.expression();
    return (scope) => truthy(test(scope)) ? then(scope) : otherwise(scope);
  }

  #binary(level: number): Expression {
    const operators = LEVELS[level];
    if (!operators) return this.#unary();
    let left = this.#binary(level + 1);
    for (;;) {
      const operator = operators.find((o) => this.take(o));
      if (operator === undefined) return left;
      const a = left;
      const b = this.#binary(level + 1);
      if (operator === "&&") left = (s) => truthy(a(s)) && truthy(b(s)) ? 1 : 0;
      else if (operator === "||") left = (s) => truthy(a(s)) || truthy(b(s)) ? 1 : 0;
      else left = (s) => binary(operator, a(s), b(s));
    }
  }

  #unary(): Expression {
    if (this.take("!")) {
      const value = this.#unary();
      return (scope) => truthy(value(scope)) ? 0 : 1;
    }
    if (this.take("-")) {
      const value = this.#unary();
      return (scope) => -integer(value(scope), "`-`");
    }
    if (this.take("(")) {
      const value = this.expression();
      this.expect(")");
      return value;
    }
    const token = this.#tokens[this.#next];
    if (token === undefined) throw new TemplateError(`\`${this.#source}\` ends too early`);
    if (/^\d/.test(token) || token.startsWith("'")) {
      this.#next++;
      const literal = token.startsWith("'") ? token.slice(1, -1) : Number(token);
      return () => literal;
    }
    const name = this.identifier();
    return this.take("(") ? this.#call(name) : (scope) => lookup(scope, name);
  }

  #call(name: string): Expression {
    const values = [this.expression()];
    while (this.take(",")) values.push(this.expression());
    this.expect(")");
    const integers = (scope: Scope) => values.map((v) => integer(v(scope), `${name}()`));
    if (name === "min") return (scope) => Math.min(...integers(scope));
    if (name === "max") return (scope) => Math.max(...integers(scope));
    if (name !== "lane") throw new TemplateError(`unknown function \`${name}\``);
    return (scope) => {
      const index = integers(scope)[0] ?? 0;
      const lane = "xyzw"[index];
      if (lane === undefined) throw new TemplateError(`lane(${index}) is not one of lane(0..3)`);
      return lane;
    };
  }
}

function lookup(scope: Scope, name: string): TemplateValue {
  const value = scope.get(name);
  if (value !== undefined) return value;
  throw new TemplateError(`unknown name \`${name}\` (known: ${[...scope.keys()].join(", ")})`);
}
