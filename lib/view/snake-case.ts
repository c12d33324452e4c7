import { formatInstant } from '../units.ts';

/**
 * A value as it is printed in JSON: names of properties in snake_case, instants in RFC 3339, a bigint as a number where
 * one can hold it and as a string where not. Keys are taken for names of properties: data that are keys become arrays first.
 */
export function toSnakeCase(value: unknown): unknown {
  if (value instanceof Date) return formatInstant(value);
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  }
  if (Array.isArray(value)) return value.map(toSnakeCase);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [snakeCase(key), toSnakeCase(part)]));
}

/** `uploadedFiles` → `uploaded_files`, `sha256` and `backup_id` as they are. */
function snakeCase(name: string): string {
  return name.replace(/(?<=[a-z0-9])[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
}
