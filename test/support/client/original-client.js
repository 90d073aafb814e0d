// The client of the original system, as its documentation gave it. Only the address is filled in.
const ws = new WebSocket(`${URL}/client_123?plan_id=plan_456`)

ws.onopen = () => {
	console.log('Connected to streaming server')
}

ws.onmessage = (event) => {
	const data = JSON.parse(event.data)

	switch (data.event_type) {
		case 'plan_started':
			console.log(`Plan started: ${data.data.query}`)
			console.log(`Total steps: ${data.data.total_steps}`)
			break
		case 'step_started':
			console.log(`Step ${data.step_id} started by ${data.data.agent_type}`)
			break
		case 'step_progress':
			console.log(`Step ${data.step_id}: ${Math.round(data.data.progress * 100)}%`)
			break
		case 'step_completed':
			console.log(`Step ${data.step_id} completed with quality ${data.data.quality_score}`)
			break
		case 'plan_completed':
			console.log('Plan completed!')
			ws.send(JSON.stringify({ action: 'subscribe', plan_id: 'plan_789' }))
			ws.send(JSON.stringify({ action: 'ping', timestamp: '2025-01-01T00:00:00' }))
			break
		case 'pong':
			console.log(`Pong for ${data.data.timestamp}`)
			ws.send(JSON.stringify({ action: 'unsubscribe', plan_id: 'plan_789' }))
			ws.close()
			break
	}
}

ws.onerror = (error) => {
	console.error('WebSocket error:', error)
}

ws.onclose = () => {
	console.log('Disconnected')
}
