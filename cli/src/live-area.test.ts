import type { WriteStream } from 'node:tty'
import { describe, expect, it } from 'vitest'
import { LiveArea } from './live-area.js'

/** Records each write to a terminal of this size. */
function createTerminal(columns: number, rows: number) {
	const writes: string[] = []
	const stream = { columns, rows, write: (text: string) => writes.push(text) > 0 }
	return { stream, writes, area: new LiveArea(stream as unknown as WriteStream) }
}

const CSI = '\u001b['

describe('LiveArea', () => {
	it('draws each frame over the last one in a single write', () => {
		const { area, writes } = createTerminal(10, 5)
		area.draw(['one', 'two'])
		area.draw(['three'])
		expect(writes.slice(1)).toEqual([
			`${CSI}?7l\rone${CSI}K\r\ntwo${CSI}K${CSI}J${CSI}?7h`,
			`${CSI}?7l\r${CSI}1Athree${CSI}K${CSI}J${CSI}?7h`,
		])
		area.close()
		expect(writes.at(-1)).toBe(`\r${CSI}J${CSI}?25h`)
	})

	it('keeps the last character of a line as wide as the terminal', () => {
		const { area, writes } = createTerminal(4, 5)
		area.draw(['full', '水水'])
		expect(writes.at(-1)).toBe(`${CSI}?7l\rfull\r\n水水${CSI}J${CSI}?7h`)
		area.close()
	})

	it('draws the last lines of a frame that is higher than the terminal', () => {
		const { area, writes } = createTerminal(10, 2)
		area.draw(['a', 'b', 'c'])
		expect(writes.at(-1)).toContain(`\rb${CSI}K\r\nc${CSI}K`)
		area.close()
	})

	it('goes up by the rows that its lines take when the terminal has become narrower', () => {
		const { area, stream, writes } = createTerminal(10, 9)
		area.draw(['0123456789', 'ab'])
		stream.columns = 4
		area.draw(['x'])
		expect(writes.at(-1)).toContain(`\r${CSI}3Ax`)
		area.close()
	})

	it('leaves no listener behind when it is closed', () => {
		const before = process.listenerCount('exit')
		const { area } = createTerminal(10, 9)
		expect(process.listenerCount('exit')).toBe(before + 1)
		area.close()
		expect(process.listenerCount('exit')).toBe(before)
	})
})
