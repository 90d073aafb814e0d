import * as z from 'zod'

const ISO = /^(\d{4})-(\d\d)-(\d\d)(T\d\d:\d\d)(:\d\d)?(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?$/

/** Any ISO 8601 time as `YYYY-MM-DDTHH:MM:SS.mmmZ`; without a zone it is UTC, digits behind the millisecond are cut off. */
export function toUtcMillis(text: string): string | null {
	const [, year, month, day, minutes, seconds = ':00', parts = '', zone = 'Z'] = ISO.exec(text) ?? []
	if (minutes === undefined || !isDay(Number(year), Number(month), Number(day))) return null
	const time = new Date(`${year}-${month}-${day}${minutes}${seconds}${parts.slice(0, 4)}${zone}`)
	return Number.isNaN(time.getTime()) ? null : time.toISOString()
}

/** Whether the calendar has this day: `Date` takes 30 February for 2 March. */
function isDay(year: number, month: number, day: number): boolean {
	return day >= 1 && day <= new Date(Date.UTC(year, month, 0)).getUTCDate()
}

/** A producer's timestamp. */
export const sentTime = z
	.string()
	.max(64)
	.transform((text, context) => {
		const utc = toUtcMillis(text)
		if (utc !== null) return utc
		context.addIssue({ code: 'custom', message: 'must be an ISO 8601 time such as 2026-01-31T12:00:00.000Z' })
		return z.NEVER
	})
