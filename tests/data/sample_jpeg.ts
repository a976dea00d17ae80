/**
 * JPEG pieces for tests.
 * @module
 */

/** A 16x8 JPEG, its left half red and its right half blue. */
export const RED_BLUE_JPEG: Uint8Array = Uint8Array.from(
  atob(
    "/9j/4AAQSkZJRgABAgAAAQABAAD/wAARCAAIABADAREAAhEBAxEB/9sAQwADAgIDAgIDAwMDBAMDBAUIBQUEBAUK" +
      "BwcGCAwKDAwLCgsLDQ4SEA0OEQ4LCxAWEBETFBUVFQwPFxgWFBgSFBUU/9sAQwEDBAQFBAUJBQUJFA0LDRQUFBQU" +
      "FBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU/8QAHwAAAQUBAQEBAQEAAAAAAAAA" +
      "AAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAk" +
      "M2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKT" +
      "lJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/8QA" +
      "HwEAAwEBAQEBAQEBAQAAAAAAAAECAwQFBgcICQoL/8QAtREAAgECBAQDBAcFBAQAAQJ3AAECAxEEBSExBhJBUQdh" +
      "cRMiMoEIFEKRobHBCSMzUvAVYnLRChYkNOEl8RcYGRomJygpKjU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hp" +
      "anN0dXZ3eHl6goOEhYaHiImKkpOUlZaXmJmaoqOkpaanqKmqsrO0tba3uLm6wsPExcbHyMnK0tPU1dbX2Nna4uPk" +
      "5ebn6Onq8vP09fb3+Pn6/9oADAMBAAIRAxEAPwD50r8KP9UzwKv9yD/HQ//Z",
  ),
  (letter) => letter.charCodeAt(0),
);

/** An APP1 segment with an EXIF directory of two entries, the second being the orientation. */
export function exifSegment(orientation: number, little: boolean, type = 3): number[] {
  const short = (value: number) => little ? [value, 0] : [0, value];
  const long = (value: number) => little ? [value, 0, 0, 0] : [0, 0, 0, value];
  const tag = (low: number) => little ? [low, 1] : [1, low];
  const value = type === 3 ? [...short(orientation), 0, 0] : long(orientation);
  const tiff = [
    ...(little ? [0x49, 0x49] : [0x4d, 0x4d]),
    ...short(42),
    ...long(8),
    ...short(2),
    ...tag(0x00),
    ...short(3),
    ...long(1),
    ...short(7),
    0,
    0,
    ...tag(0x12),
    ...short(type),
    ...long(1),
    ...value,
    ...long(0),
  ];
  const data = [0x45, 0x78, 0x69, 0x66, 0, 0, ...tiff];
  return [0xff, 0xe1, 0, data.length + 2, ...data];
}

/** The sample with an EXIF orientation. */
export function redBlueTurned(orientation: number): Uint8Array {
  const rest = RED_BLUE_JPEG.subarray(2);
  return Uint8Array.from([0xff, 0xd8, ...exifSegment(orientation, orientation % 2 === 0), ...rest]);
}
