import { type HTMLElement as HappyElement, Window } from 'happy-dom'

/** The page that React finds; import this before `react-dom`. */
const page = new Window()
for (const [name, value] of Object.entries({ window: page, document: page.document, navigator: page.navigator })) {
	Object.defineProperty(globalThis, name, { value, configurable: true })
}

/** Creates an element of the page for one test. */
export function createContainer(): Element {
	const element: HappyElement = page.document.createElement('div')
	page.document.body.append(element)
	return element as unknown as Element
}
