/**
 * Small PNGs that other libraries wrote: Pillow 9.4 (its own encoder) and sharp 0.33.5 (libvips with
 * libspng), and the samples that went into them.
 * @module
 */

/** Sides of all of them. */
export const FOREIGN_WIDTH = 5;
export const FOREIGN_HEIGHT = 3;

/** A file and its samples. */
export interface ForeignPng {
  readonly about: string;
  readonly base64: string;
  /** The samples of a pixel, as stored. */
  readonly samples: (x: number, y: number) => number[];
}

const v = (x: number, y: number): number => x * 7 + y * 11;
const gray = (x: number, y: number): number[] => [v(x, y)];
const rgb = (x: number, y: number): number[] => [v(x, y), v(x, y) + 1, 255 - v(x, y)];
const rgba = (x: number, y: number): number[] => [...rgb(x, y), v(x, y)];

export const FOREIGN_PNGS: ForeignPng[] = [
  {
    about: "PIL gray 1 bit",
    base64: "iVBORw0KGgoAAAANSUhEUgAAAAUAAAADAQAAAABzTfhVAAAADklEQVR4nGMIYFjBEAAAA94BSXfAiOEAAAAA" +
      "SUVORK5CYII=",
    samples: (x, y) => [v(x, y) % 2],
  },
  {
    about: "PIL gray 8 bit",
    base64: "iVBORw0KGgoAAAANSUhEUgAAAAUAAAADCAAAAAB+XZokAAAAGklEQVR4nGNkYGdnZ2fkZmdnZ2fhZmdnZwcA" +
      "A8IAcZ/y3/UAAAAASUVORK5CYII=",
    samples: gray,
  },
  {
    about: "PIL gray 16 bit",
    base64: "iVBORw0KGgoAAAANSUhEUgAAAAUAAAADEAAAAAAuzUZnAAAAIUlEQVR4nGNkYOBdw7eGbw3vGkbRGr41EA6j" +
      "1g+IGN8aAJlNCmu5ibYcAAAAAElFTkSuQmCC",
    samples: (x, y) => [v(x, y) * 500],
  },
  {
    about: "PIL gray with alpha",
    base64: "iVBORw0KGgoAAAANSUhEUgAAAAUAAAADCAQAAADxPw1zAAAAFElEQVR4nGNk+M/+EwJZuL9iYQIA8REPCdSl" +
      "eE0AAAAASUVORK5CYII=",
    samples: (x, y) => [v(x, y), 255 - v(x, y)],
  },
  {
    about: "PIL RGB",
    base64: "iVBORw0KGgoAAAANSUhEUgAAAAUAAAADCAIAAADUVFKvAAAAF0lEQVR4nGNkYPzPzv4Tjli4ub/i4wMAZEoP" +
      "dHgVmIgAAAAASUVORK5CYII=",
    samples: rgb,
  },
  {
    about: "PIL RGBA",
    base64: "iVBORw0KGgoAAAANSUhEUgAAAAUAAAADCAYAAABbNsX4AAAAGklEQVR4nGNkYPzPwM7+kx0Zs3Bzf+UmShAA" +
      "60wP3lqnGVMAAAAASUVORK5CYII=",
    samples: rgba,
  },
  {
    about: "PIL palette 1 bit",
    base64: "iVBORw0KGgoAAAANSUhEUgAAAAUAAAADAQMAAABh+Fe7AAAABlBMVEUA/wAB/gN994n9AAAADklEQVR4nGMI" +
      "YFjBEAAAA94BSXfAiOEAAAAASUVORK5CYII=",
    samples: (x, y) => [v(x, y) % 2],
  },
  {
    about: "PIL palette 2 bit",
    base64: "iVBORw0KGgoAAAANSUhEUgAAAAUAAAADAgMAAAAmWC1rAAAADFBMVEUA/wAB/gMC/QYD/An4NG7tAAAAEUlE" +
      "QVR4nGOwZGB4coBhcgMACusC8XC6jWgAAAAASUVORK5CYII=",
    samples: (x, y) => [v(x, y) % 4],
  },
  {
    about: "PIL palette 4 bit",
    base64: "iVBORw0KGgoAAAANSUhEUgAAAAUAAAADBAMAAACpGNjLAAAAMFBMVEUA/wAB/gMC/QYD/AkE+wwF+g8G+RIH" +
      "+BUI9xgJ9hsK9R4L9CEM8yQN8icO8SoP8C0iUNaMAAAAFElEQVR4nGNgf3qAYdOEAoZcbwUAHHYEN8KjsSQA" +
      "AAAASUVORK5CYII=",
    samples: (x, y) => [v(x, y) % 16],
  },
  {
    about: "libvips gray interlaced",
    base64: "iVBORw0KGgoAAAANSUhEUgAAAAUAAAADCAAAAAEJWqqyAAAACXBIWXMAAAPoAAAD6AG1e1JrAAAAHklEQVR4" +
      "nGNgYJBh4GMQUzFiYBdlkNVm4BaSVFAHAA1JAXje3xL6AAAAAElFTkSuQmCC",
    samples: gray,
  },
  {
    about: "libvips RGB interlaced",
    base64: "iVBORw0KGgoAAAANSUhEUgAAAAUAAAADCAIAAAGjU2I5AAAACXBIWXMAAAPoAAAD6AG1e1JrAAAAP0lEQVR4" +
      "nAE0AMv/AAAB/wAcHeMADg/xABYX6SQl2zIzzQAHCPgVFuoAHR7iKyzUAAsM9BIT7Rka5iAh3yco2IxSEHjX" +
      "Q9l+AAAAAElFTkSuQmCC",
    samples: rgb,
  },
  {
    about: "libvips RGB 16 bit interlaced",
    base64: "iVBORw0KGgoAAAANSUhEUgAAAAUAAAADEAIAAAHzw756AAAACXBIWXMAAAPoAAAD6AG1e1JrAAAAbElEQVR4" +
      "nAFhAJ7/AAAAAQH//wAcHB0d4+MADg4PD/HxABYWFxfp6SQkJSXb2zIyMzPNzQAHBwgI+PgVFRYW6uoAHR0e" +
      "HuLiKyssLNTUAAsLDAz09BISExPt7RkZGhrm5iAgISHf3ycnKCjY2N9hIO9HjFuWAAAAAElFTkSuQmCC",
    samples: (x, y) => rgb(x, y).map((s) => s * 257),
  },
  {
    about: "libvips RGBA 16 bit",
    base64: "iVBORw0KGgoAAAANSUhEUgAAAAUAAAADEAYAAAALphm7AAAACXBIWXMAAAPoAAAD6AG1e1JrAAAAgElEQVR4" +
      "nAXBsQqFIBQA0NtkYBgY3vDhDQPDwCb7/09oawgagoKgoCFoaOudAwBJ8n0AjKXp+zImRJ7ftxBKIZ6nUsYQ" +
      "bZsxwHmWPQ/nUhbFdUmp9e+371pbW9fLYq33bTtN3gNiWR4HIlFVrSuRc00zz86F0HXjGEKMfT8MMf4BJa0j" +
      "3ea+FqkAAAAASUVORK5CYII=",
    samples: (x, y) => rgba(x, y).map((s) => s * 257),
  },
];
