import type { WriteStream } from 'node:tty'
import stringWidth from 'string-width'

const CSI = '\u001b['
const HIDE_CURSOR = `${CSI}?25l`
const SHOW_CURSOR = `${CSI}?25h`
/** Lines never wrap while they are drawn, even if the terminal shows a character wider than it was measured. */
const WRAP_OFF = `${CSI}?7l`
const WRAP_ON = `${CSI}?7h`
const ERASE_LINE = `${CSI}K`
const ERASE_BELOW = `${CSI}J`

const DEFAULT_COLUMNS = 80
const DEFAULT_ROWS = 24

/** Size of a terminal; one of unknown size reports 0 and counts as 80x24. */
export function readSize({ columns, rows }: Pick<WriteStream, 'columns' | 'rows'>): { columns: number; rows: number } {
	return { columns: columns || DEFAULT_COLUMNS, rows: rows || DEFAULT_ROWS }
}

/** Lines at the end of a terminal that are drawn over. Each frame is one write, and a line that stays the same is not erased before. */
export class LiveArea {
	readonly #stream: WriteStream
	#lines: readonly string[] = []
	readonly #showCursor = () => this.#stream.write(SHOW_CURSOR)

	constructor(stream: WriteStream) {
		this.#stream = stream
		stream.write(HIDE_CURSOR)
		process.on('exit', this.#showCursor)
	}

	/** Draws these lines over the previous ones; those above the height of the terminal are left out. */
	draw(lines: readonly string[]): void {
		const { columns, rows } = readSize(this.#stream)
		const shown = lines.slice(Math.max(0, lines.length - rows))
		// Behind a full line the cursor is on its last character, which would be erased.
		const drawn = shown.map((line) => (stringWidth(line) < columns ? line + ERASE_LINE : line)).join('\r\n')
		this.#stream.write(`${WRAP_OFF}${this.#goToTop()}${drawn}${ERASE_BELOW}${WRAP_ON}`)
		this.#lines = shown
	}

	/** Removes the lines and shows the cursor in their place. */
	close(): void {
		this.#stream.write(`${this.#goToTop()}${ERASE_BELOW}${SHOW_CURSOR}`)
		this.#lines = []
		process.off('exit', this.#showCursor)
	}

	/** Moves to the first line. In a terminal that became narrower, a line that was drawn wider takes several rows. */
	#goToTop(): string {
		const { columns, rows } = readSize(this.#stream)
		const height = this.#lines.reduce((sum, line) => sum + Math.max(1, Math.ceil(stringWidth(line) / columns)), 0)
		const up = Math.min(height, rows) - 1
		return up > 0 ? `\r${CSI}${up}A` : '\r'
	}
}
