/**
 * Lines for people, on standard error: `2026/11/23 10:15:02-INFO - Using device ...`. Standard
 * output stays free for what other programs read. The progress bar lives on the last line and is
 * taken away and put back around each log line.
 * @module
 */

/** Writes log lines. */
export interface Log {
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

/** Standard error, as far as logging needs it. */
export interface Sink {
  readonly isTerminal: boolean;
  readonly colour: boolean;
  write(text: string): void;
}

const encoder = new TextEncoder();

function stderrSink(): Sink {
  const isTerminal = Deno.stderr.isTerminal();
  return {
    isTerminal,
    colour: isTerminal && !Deno.noColor,
    write(text) {
      const bytes = encoder.encode(text);
      let written = 0;
      try {
        while (written < bytes.length) written += Deno.stderr.writeSync(bytes.subarray(written));
      } catch (error) {
        // Nobody reads any more; what is being done is worth ending all the same.
        if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
      }
    },
  };
}

/** Standard error with one line at the bottom that is redrawn. */
export class Terminal implements Log {
  #status = "";

  constructor(readonly sink: Sink = stderrSink(), readonly now: () => Date = () => new Date()) {}

  get isTerminal(): boolean {
    return this.sink.isTerminal;
  }

  info(message: string): void {
    this.#log("INFO", message);
  }

  warn(message: string): void {
    this.#log("WARNING", message, "33");
  }

  error(message: string): void {
    this.#log("ERROR", message, "31");
  }

  /** Writes a line as it is, above the status line. */
  line(text: string): void {
    const [before, after] = this.#status === "" ? ["", ""] : [CLEAR_LINE, this.#status];
    this.sink.write(`${before}${text}\n${after}`);
  }

  /** Shows `text` on the last line of a terminal (no line break); an empty text clears it. */
  status(text: string): void {
    if (!this.sink.isTerminal || text === this.#status) return;
    this.#status = text;
    this.sink.write(CLEAR_LINE + text);
  }

  /** `text` in an ANSI colour where colours are wanted. */
  paint(text: string, code: string): string {
    return this.sink.colour ? `\x1b[${code}m${text}\x1b[0m` : text;
  }

  #log(level: string, message: string, colour?: string): void {
    const shown = colour === undefined ? level : this.paint(level, colour);
    this.line(`${timestamp(this.now())}-${shown} - ${message}`);
  }
}

const CLEAR_LINE = "\r\x1b[K";

function timestamp(date: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("/");
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":")}`;
}

/** Standard error of this process, shared by log lines and progress bars. */
export const terminal: Terminal = new Terminal();
